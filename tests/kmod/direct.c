// SPDX-License-Identifier: GPL-2.0
/* Direct messages from the host to one partition. */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/smp.h>

#include <asm/cputype.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

/* Where a payload begins and ends in the registers of a direct message. */
#define FIRST	3
#define LAST	7

/* What x8 to x17 hold before a call, to see what they hold after it. */
#define MARK(n)	(0x4d41524b00000000 | (n))

/*
 * Sends a request of either width and expects its payload back, and nothing else:
 * a register beyond the message is either kept or cleared, and so carries nothing
 * out of the secure world.
 */
static void expect_echo(const struct partition *sp, bool wide,
			const u64 payload[5])
{
	struct ffa_regs request = wide ? ffa_request64(sp->id, 0) :
					 ffa_request32(sp->id, 0);
	u64 mask = wide ? U64_MAX : U32_MAX;
	int cpu = smp_processor_id();
	struct ffa_regs reply;
	int i;

	/* Bits 63:32 are no part of a 32-bit call: whatever is there is ignored. */
	if (!wide) {
		request.x[1] |= 0xdeadbeef00000000;
		request.x[2] |= 0x0badcafe00000000;
	}
	memcpy(&request.x[FIRST], payload, 5 * sizeof(u64));
	for (i = LAST + 1; i < ARRAY_SIZE(request.x); i++)
		request.x[i] = MARK(i);

	reply = ffa_direct(&request, NULL);
	if (!expect_response(&request, &reply, "echo by %s on CPU %d", sp->name,
			     cpu))
		return;
	for (i = FIRST; i <= LAST; i++)
		expect_eq(reply.x[i] & mask, request.x[i] & mask,
			  "x%d echoed by %s on CPU %d", i, sp->name, cpu);
	for (i = LAST + 1; i < ARRAY_SIZE(reply.x); i++)
		expect_true(reply.x[i] == MARK(i) || reply.x[i] == 0,
			    "x%d (0x%llx) after a message to %s on CPU %d", i,
			    reply.x[i], sp->name, cpu);
}

/* A partition with a context for each CPU runs on the context of this CPU. */
static void expect_own_context(const struct partition *sp)
{
	u64 own = sp->contexts > 1 ? MPIDR_AFFINITY_LEVEL(read_cpuid_mpidr(), 0) :
				     0;
	struct ffa_regs reply;

	if (!ask(&reply, sp, CMD_IDENTITY))
		return;
	expect_eq(MPIDR_AFFINITY_LEVEL(reply.x[7], 0), own,
		  "context of %s that CPU %d runs", sp->name,
		  smp_processor_id());
}

static void echo_on_this_cpu(void *argument)
{
	static const u64 patterns[][5] = {
		{ 0, 0, 0, 0, 0 },
		{ U64_MAX, U64_MAX, U64_MAX, U64_MAX, U64_MAX },
		{ 0x0123456789abcdef, 0xfedcba9876543210, 0x5555555555555555,
		  0xaaaaaaaaaaaaaaaa, 0x8000000000000001 },
		/* Bits 31:0 are zero: all of the value is above. */
		{ 0x1111111100000000, 0x2222222200000000, 0x3333333300000000,
		  0x4444444400000000, 0x5555555500000000 },
	};
	bool wide = *(bool *)argument;
	int sp, i, bit;

	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		for (i = 0; i < ARRAY_SIZE(patterns); i++)
			expect_echo(&partitions[sp], wide, patterns[i]);
		/* Every bit of every register, alone. */
		for (bit = 0; bit < (wide ? 64 : 32); bit++) {
			u64 one = BIT_ULL(bit);

			expect_echo(&partitions[sp], wide,
				    (u64[]){ one, 0, ~one, 0, one });
			expect_echo(&partitions[sp], wide,
				    (u64[]){ 0, one, 0, ~one, 0 });
		}
		expect_own_context(&partitions[sp]);
	}
}

/* A figure for the log; nothing depends on it. */
static void note_round_trip(bool wide)
{
	const int rounds = 200;
	ktime_t start = ktime_get();
	int i;

	for (i = 0; i < rounds; i++) {
		if (wide)
			ffa_direct64(ECHO_ID, i);
		else
			ffa_direct32(ECHO_ID, i);
	}
	note("%lld ns for a round trip, mean of %d",
	     div_s64(ktime_to_ns(ktime_sub(ktime_get(), start)), rounds),
	     rounds);
}

/* FFA_MSG_SEND_DIRECT_REQ2, of which x4 to x17 are the sender's. */
static struct ffa_regs service_request(u16 sender, u16 receiver,
				       const uuid_t *uuid)
{
	struct ffa_regs request = {
		.x = { FFA_MSG_SEND_DIRECT_REQ2, ffa_route(sender, receiver) }
	};
	u32 words[4];

	ffa_uuid_words(uuid, words);
	request.x[2] = words[0] | (u64)words[1] << 32;
	request.x[3] = words[2] | (u64)words[3] << 32;
	return request;
}

static noinline void expect_service_echo(const struct partition *sp,
				const struct ffa_regs *request)
{
	u32 route = ffa_route(sp->id, HOST_ID);
	int cpu = smp_processor_id();
	struct ffa_regs reply;
	int i;

	reply = ffa_direct(request, NULL);
	if (!expect_eq((u32)reply.x[0], FFA_MSG_SEND_DIRECT_RESP2,
		       "answer of %s's service on CPU %d", sp->name, cpu))
		return;
	expect_eq(reply.x[1], route, "x1 of the answer of %s", sp->name);
	expect_eq(reply.x[2] | reply.x[3], 0, "x2 and x3 of the answer of %s",
		  sp->name);
	for (i = 4; i < ARRAY_SIZE(reply.x); i++)
		expect_eq(reply.x[i], request->x[i],
			  "x%d echoed by %s's service on CPU %d", i, sp->name,
			  cpu);
}

/* Fourteen registers there and back, to a service by its UUID or by none. */
static void service_on_this_cpu(void *unused)
{
	const struct partition *sp = &partitions[0];
	struct ffa_regs request = service_request(HOST_ID, sp->id, &sp->uuid);
	int bit, i;

	for (i = 4; i < ARRAY_SIZE(request.x); i++)
		request.x[i] = 0x0101010101010101 * i;
	expect_service_echo(sp, &request);
	for (bit = 0; bit < 64; bit++) {
		for (i = 4; i < ARRAY_SIZE(request.x); i++)
			request.x[i] = BIT_ULL((bit + i) % 64);
		expect_service_echo(sp, &request);
	}
	/* What is a command in the first form is none here. */
	request = service_request(HOST_ID, sp->id, &uuid_null);
	request.x[3 + 1] = CMD_IDENTITY;
	expect_service_echo(sp, &request);
}

static void direct_echo(bool wide)
{
	int cpu;

	expect_eq(num_online_cpus(), CPU_COUNT, "CPUs that are online");
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, echo_on_this_cpu, &wide);
	note_round_trip(wide);
}

void direct_echo_32(void)
{
	direct_echo(false);
}

void direct_echo_64(void)
{
	int cpu;

	direct_echo(true);
	if (host_version() < FFA_VERSION_1_2)
		return;
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, service_on_this_cpu, NULL);
}

struct exchange {
	u64 kept[PARTITION_COUNT];
	u64 count[PARTITION_COUNT];
	u64 next;
};

static bool do_exchange(struct exchange *state, int sp, bool check)
{
	const struct partition *partition = &partitions[sp];
	u64 value = state->next++ << 32 | partition->id;
	struct ffa_regs reply;

	if (!ask(&reply, partition, CMD_EXCHANGE, value))
		return false;
	if (check) {
		expect_eq(reply.x[4], state->kept[sp], "value kept by %s",
			  partition->name);
		expect_eq(reply.x[5], state->count[sp] + 1,
			  "EXCHANGEs counted by %s", partition->name);
	}
	state->kept[sp] = value;
	state->count[sp] = reply.x[5];
	return true;
}

static void interleave_on_this_cpu(void *argument)
{
	/* All orders of the three, so that each follows and precedes each. */
	static const u8 orders[][PARTITION_COUNT] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	struct exchange *state = argument;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(orders); i++)
		for (j = 0; j < PARTITION_COUNT; j++)
			if (!do_exchange(state, orders[i][j], true))
				return;
}

void direct_all_partitions(void)
{
	struct exchange state = { .next = 1 };
	int cpu, sp, round;

	/* What they keep from an earlier run does not matter. */
	for (sp = 0; sp < PARTITION_COUNT; sp++)
		if (!do_exchange(&state, sp, false))
			return;

	/* A partition is one, whichever CPU or context runs it. */
	for (round = 0; round < 3; round++)
		for_each_online_cpu(cpu)
			run_on_cpu(cpu, interleave_on_this_cpu, &state);
}

/* Both widths of a request that must be refused. */
static void expect_refused(u32 route, u64 w2, int code, const char *what)
{
	expect_error(ffa_call(FFA_MSG_SEND_DIRECT_REQ, route, w2, 1, 2, 3, 4, 5),
		     code, "a 32-bit request: %s", what);
	expect_error(ffa_call(FFA_FN64_MSG_SEND_DIRECT_REQ, route, w2, 1, 2, 3, 4,
			      5),
		     code, "a 64-bit request: %s", what);
}

/* Who sends is who gets the answer. */
static void expect_answered_to(u16 sender)
{
	struct ffa_regs request = ffa_request64(ECHO_ID, 1, 2, 3, 4, 5);
	struct ffa_regs reply;

	request.x[1] = ffa_route(sender, ECHO_ID);
	reply = ffa_direct(&request, NULL);
	expect_response(&request, &reply, "a request of VM 0x%x", sender);
}

/* The second form, to those who do not take it, and to services of others. */
static noinline void services_refused(void)
{
	const uuid_t *none = &uuid_null, *other = &partitions[1].uuid;
	const struct {
		u16 sender, receiver;
		const uuid_t *uuid;
		int code;
		const char *what;
	} cases[] = {
		{ HOST_ID, IRQ_ID, none, FFA_RET_DENIED, "to irq, which is at 1.1" },
		{ HOST_ID, RELAY_ID, &partitions[2].uuid, FFA_RET_DENIED,
		  "to relay, which is at 1.1" },
		{ HOST_ID, ECHO_ID, other, FFA_RET_INVALID_PARAMETERS,
		  "to a service of irq at echo" },
		{ HOST_ID, HOST_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "to the host itself" },
		{ HOST_ID, ABSENT_VM_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "to a VM" },
		{ HOST_ID, ABSENT_SP_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "to nobody" },
		{ HOST_ID, SPMC_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "to the SPMC" },
		{ RELAY_ID, ECHO_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "from relay" },
		{ ECHO_ID, ECHO_ID, none, FFA_RET_INVALID_PARAMETERS,
		  "from the receiver" },
	};
	struct ffa_regs request;
	int i;

	if (host_version() < FFA_VERSION_1_2) {
		expect_error(ffa_call(FFA_MSG_SEND_DIRECT_REQ2,
				      ffa_route(HOST_ID, ECHO_ID)),
			     FFA_RET_NOT_SUPPORTED, "FFA_MSG_SEND_DIRECT_REQ2");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		request = service_request(cases[i].sender, cases[i].receiver,
					  cases[i].uuid);
		expect_error(ffa_smc(&request), cases[i].code,
			     "FFA_MSG_SEND_DIRECT_REQ2 %s", cases[i].what);
	}
	expect_error(ffa_call(FFA_MSG_SEND_DIRECT_RESP2,
			      ffa_route(HOST_ID, ECHO_ID)),
		     FFA_RET_NOT_SUPPORTED, "FFA_MSG_SEND_DIRECT_RESP2");
}

static void refused_on_this_cpu(void *unused)
{
	int cpu = smp_processor_id();
	int bit, sp;

	/* Spoofed senders. Secure ids are refused by the SPMD already. */
	expect_refused(ffa_route(RELAY_ID, ECHO_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "from another partition");
	expect_refused(ffa_route(ECHO_ID, ECHO_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "from the receiver");
	expect_refused(ffa_route(SPMC_ID, ECHO_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "from the SPMC");
	expect_refused(ffa_route(0xffff, ECHO_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "from the SPMD");

	/* Which of its VMs may send is for the hypervisor to say. */
	expect_answered_to(ABSENT_VM_ID);
	expect_answered_to(0x7fff);

	/* Receivers that take none. */
	expect_refused(ffa_route(HOST_ID, HOST_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "to the host itself");
	expect_refused(ffa_route(HOST_ID, ABSENT_VM_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "to a VM");
	expect_refused(ffa_route(HOST_ID, ABSENT_SP_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "to the id after the last");
	expect_refused(ffa_route(HOST_ID, 0xbfff), 0,
		       FFA_RET_INVALID_PARAMETERS, "to a partition far away");
	expect_refused(ffa_route(HOST_ID, SPMC_ID), 0,
		       FFA_RET_INVALID_PARAMETERS, "to the SPMC");
	expect_refused(ffa_route(HOST_ID, 0xffff), 0,
		       FFA_RET_INVALID_PARAMETERS, "to the SPMD");

	/*
	 * Reserved bits of w2; and bit 31, a framework message: power management
	 * and version requests are the SPMD's to send.
	 */
	for (bit = 0; bit < 32; bit++)
		expect_refused(ffa_route(HOST_ID, ECHO_ID), BIT(bit),
			       FFA_RET_INVALID_PARAMETERS, "a bit of w2 is set");
	expect_refused(ffa_route(HOST_ID, SPMC_ID), BIT(31) | 8,
		       FFA_RET_INVALID_PARAMETERS,
		       "a version request to the SPMC");
	expect_refused(ffa_route(HOST_ID, SPMC_ID), BIT(31),
		       FFA_RET_INVALID_PARAMETERS,
		       "a power management request to the SPMC");

	/*
	 * Nobody asked the normal world anything. pKVM refuses the 32-bit form
	 * and lets the 64-bit one through to the SPMC.
	 */
	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		u32 route = ffa_route(HOST_ID, partitions[sp].id);

		expect_error(ffa_call(FFA_MSG_SEND_DIRECT_RESP, route),
			     FFA_RET_NOT_SUPPORTED, "a 32-bit response to %s",
			     partitions[sp].name);
		expect_error(ffa_call(FFA_FN64_MSG_SEND_DIRECT_RESP, route),
			     FFA_RET_NOT_SUPPORTED, "a 64-bit response to %s",
			     partitions[sp].name);
	}

	/* Answers that are not calls; the SPMD forwards the first three. */
	expect_error(ffa_call(FFA_SUCCESS), FFA_RET_NOT_SUPPORTED,
		     "FFA_SUCCESS as a call");
	expect_error(ffa_call(FFA_FN64_SUCCESS), FFA_RET_NOT_SUPPORTED,
		     "a 64-bit FFA_SUCCESS as a call");
	expect_error(ffa_call(FFA_ERROR, 0, (u32)FFA_RET_ABORTED),
		     FFA_RET_NOT_SUPPORTED, "FFA_ERROR as a call");
	expect_error(ffa_call(FFA_INTERRUPT), FFA_RET_NOT_SUPPORTED,
		     "FFA_INTERRUPT as a call");

	/* Calls of partitions, which the SPMD keeps in the secure world. */
	expect_error(ffa_call(FFA_YIELD), FFA_RET_NOT_SUPPORTED, "FFA_YIELD");
	expect_error(ffa_call(FFA_MSG_WAIT), FFA_RET_NOT_SUPPORTED,
		     "FFA_MSG_WAIT");

	services_refused();

	/* None of it reached a partition or left one in a wrong state. */
	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		struct ffa_regs request =
			ffa_request64(partitions[sp].id, 0xabcd, sp);
		struct ffa_regs reply = ffa_direct(&request, NULL);

		if (expect_response(&request, &reply,
				    "%s on CPU %d after refusals",
				    partitions[sp].name, cpu))
			expect_eq(reply.x[4], sp, "x4 echoed by %s",
				  partitions[sp].name);
	}
}

void direct_refused(void)
{
	u64 counts[PARTITION_COUNT];
	struct ffa_regs reply;
	int cpu, sp;

	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		if (!ask(&reply, &partitions[sp], CMD_EXCHANGE))
			return;
		counts[sp] = reply.x[5];
	}

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, refused_on_this_cpu, NULL);

	/* What they counted before, they go on from. */
	for (sp = 0; sp < PARTITION_COUNT; sp++)
		if (ask(&reply, &partitions[sp], CMD_EXCHANGE))
			expect_eq(reply.x[5], counts[sp] + 1,
				  "EXCHANGEs counted by %s after refusals",
				  partitions[sp].name);
}

// SPDX-License-Identifier: GPL-2.0
/* Chains that come back to where they were, and partitions that yield. */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/smp.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

/* The first partition of a chain, and the hops, 16 bits each, next one lowest. */
struct cycle {
	u16 first;
	u64 hops;
	/* Hops before the one that is refused. */
	unsigned int good;
};

#define HOPS_1(a)	((u64)(a))
#define HOPS_2(a, b)	(HOPS_1(a) | (u64)(b) << 16)
#define HOPS_3(a, b, c)	(HOPS_2(a, b) | (u64)(c) << 32)

static struct cycle cycles[] = {
	{ .first = RELAY_ID, .hops = HOPS_2(ECHO_ID, RELAY_ID), .good = 1 },
	{ .first = ECHO_ID, .hops = HOPS_2(IRQ_ID, ECHO_ID), .good = 1 },
	{ .first = IRQ_ID, .hops = HOPS_2(RELAY_ID, IRQ_ID), .good = 1 },
	{ .first = RELAY_ID, .hops = HOPS_3(IRQ_ID, ECHO_ID, RELAY_ID), .good = 2 },
	{ .first = RELAY_ID, .hops = HOPS_3(IRQ_ID, ECHO_ID, IRQ_ID), .good = 2 },
	{ .first = ECHO_ID, .hops = HOPS_3(RELAY_ID, IRQ_ID, RELAY_ID), .good = 2 },
};

static void expect_cycle(const struct cycle *cycle, bool wide)
{
	u64 value = wide ? 0x0123456789abcdef : 0x89abcdef;
	/* A 32-bit request has room for two hops. */
	u64 mask = wide ? U64_MAX : U32_MAX;
	int cpu = smp_processor_id();
	u64 good = cycle->hops & ((1ULL << 16 * cycle->good) - 1);
	struct ffa_regs request, reply;

	request = wide ? ffa_request64(cycle->first, CMD_RELAY, cycle->hops, value) :
			 ffa_request32(cycle->first, CMD_RELAY, cycle->hops, value);
	reply = ffa_direct(&request, NULL);
	if (!expect_response(&request, &reply, "%d-bit cycle 0x%x, 0x%llx on CPU %d",
			     wide ? 64 : 32, cycle->first, cycle->hops, cpu))
		return;
	expect_eq((u32)reply.x[3], RESULT_HOP_REFUSED,
		  "result of the cycle 0x%x, 0x%llx", cycle->first, cycle->hops);
	expect_eq((u32)reply.x[4], (u32)FFA_RET_DENIED,
		  "error of the cycle 0x%x, 0x%llx", cycle->first, cycle->hops);

	/* The chain without its last hop is none the worse. */
	request = wide ? ffa_request64(cycle->first, CMD_RELAY, good, value) :
			 ffa_request32(cycle->first, CMD_RELAY, good, value);
	reply = ffa_direct(&request, NULL);
	if (!expect_response(&request, &reply, "chain 0x%x, 0x%llx on CPU %d",
			     cycle->first, good, cpu))
		return;
	expect_eq((u32)reply.x[3], 0, "result of the chain 0x%x, 0x%llx",
		  cycle->first, good);
	expect_eq(reply.x[5] & mask, (value + 1) & mask,
		  "value from the chain's end");
	expect_eq((u32)reply.x[6], cycle->good, "hops of the chain");
}

static void cycles_on_this_cpu(void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(cycles); i++) {
		expect_cycle(&cycles[i], true);
		if (cycles[i].good == 1)
			expect_cycle(&cycles[i], false);
	}
}

void chain_cycle_refused(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, cycles_on_this_cpu, NULL);
}

/* Goes on where an interrupt of Linux has stopped the partition. */
static struct ffa_regs run_while_interrupted(struct ffa_regs reply)
{
	while ((u32)reply.x[0] == FFA_INTERRUPT)
		reply = ffa_call(FFA_RUN, (u32)reply.x[1]);
	return reply;
}

static void yields_on_this_cpu(void *argument)
{
	const struct partition *sp = argument;
	int cpu = smp_processor_id();
	u32 target = (u32)sp->id << 16 | (sp->contexts > 1 ? cpu : 0);
	u16 other = sp->id == RELAY_ID ? ECHO_ID : RELAY_ID;
	struct ffa_regs request, reply, probe;
	const int times = 3;
	int count;

	request = ffa_request64(sp->id, CMD_YIELD, times);
	reply = run_while_interrupted(ffa_smc(&request));
	for (count = 0; count < times; count++) {
		if (!expect_eq((u32)reply.x[0], FFA_YIELD,
			       "answer %d of %s on CPU %d", count, sp->name, cpu))
			return;
		expect_eq((u32)reply.x[1], target, "who yields on CPU %d", cpu);

		/* It is at work, others are not. */
		probe = ffa_direct64(sp->id, 1);
		expect_error(probe, FFA_RET_BUSY, "a request to %s that has yielded",
			     sp->name);
		probe = ffa_direct64(other, 0x1234);
		expect_eq(probe.x[3], 0x1234, "a request to another one meanwhile");

		reply = run_while_interrupted(ffa_call(FFA_RUN, target));
	}
	if (expect_response(&request, &reply, "YIELD to %s on CPU %d", sp->name,
			    cpu)) {
		expect_eq(reply.x[3], 0, "result of YIELD");
		expect_eq(reply.x[4], times, "yields that succeeded");
	}

	/* The turn is over: FFA_RUN gives a new one, with nothing to do. */
	reply = run_while_interrupted(ffa_call(FFA_RUN, target));
	expect_eq((u32)reply.x[0], FFA_MSG_WAIT, "FFA_RUN of %s that waits", sp->name);
}

/* Who has asked a partition that yields lets it go on itself. */
static void yields_in_a_chain(void *unused)
{
	struct ffa_regs reply;

	reply = ffa_direct64(RELAY_ID, CMD_FORWARD, ECHO_ID, CMD_YIELD, 5);
	expect_eq(reply.x[3], 0, "result of FORWARD");
	expect_eq(reply.x[4], 0, "error of the request to echo");
	expect_eq(reply.x[5], 0, "result of YIELD by echo");
	expect_eq(reply.x[6], 5, "yields of echo that succeeded");
}

void yield(void)
{
	int cpu, i;

	for_each_online_cpu(cpu) {
		for (i = 0; i < PARTITION_COUNT; i++)
			run_on_cpu(cpu, yields_on_this_cpu,
				   (void *)&partitions[i]);
		run_on_cpu(cpu, yields_in_a_chain, NULL);
	}
	/* Linux itself has nobody to yield to. */
	expect_error(ffa_call(FFA_YIELD), FFA_RET_NOT_SUPPORTED, "FFA_YIELD by Linux");
}

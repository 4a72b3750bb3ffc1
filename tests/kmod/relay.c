// SPDX-License-Identifier: GPL-2.0
/* Chains: a partition that is asked asks another one before it answers. */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/smp.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

/* A route through partitions: the first is sent to, the others are hops. */
struct chain {
	int length;
	u16 ids[3];
};

/* Who the message passed, as the partitions write it down on the way. */
static u64 trail_of(const struct chain *chain, bool wide)
{
	u64 trail = 0;
	int i;

	for (i = 0; i < chain->length; i++)
		trail = wide ? trail << 16 | chain->ids[i] :
			       trail << 4 | (chain->ids[i] & 0xf);
	return trail;
}

static struct ffa_regs relay_request(const struct chain *chain, bool wide,
				     u64 value)
{
	u64 hops = 0;
	int i;

	for (i = chain->length - 1; i > 0; i--)
		hops = hops << 16 | chain->ids[i];
	return wide ? ffa_request64(chain->ids[0], CMD_RELAY, hops, value) :
		      ffa_request32(chain->ids[0], CMD_RELAY, hops, value);
}

static void expect_relayed(const struct chain *chain, bool wide, u64 value)
{
	struct ffa_regs request = relay_request(chain, wide, value);
	u64 mask = wide ? U64_MAX : U32_MAX;
	int cpu = smp_processor_id();
	struct ffa_regs reply;

	reply = ffa_direct(&request, NULL);
	if (!expect_response(&request, &reply, "%d-bit relay on CPU %d",
			     wide ? 64 : 32, cpu))
		return;
	expect_eq(reply.x[3] & mask, 0, "result on CPU %d", cpu);
	expect_eq(reply.x[4] & mask, 0, "error of a hop on CPU %d", cpu);
	expect_eq(reply.x[5] & mask, (value + 1) & mask,
		  "value from the chain's end on CPU %d", cpu);
	expect_eq(reply.x[6] & mask, chain->length - 1, "hops on CPU %d", cpu);
	expect_eq(reply.x[7] & mask, trail_of(chain, wide),
		  "trail on CPU %d", cpu);
}

static void relay_on_this_cpu(void *argument)
{
	const struct chain *chain = argument;
	int round;

	for (round = 0; round < 8; round++) {
		expect_relayed(chain, true, 0x0123456700000000 + round);
		expect_relayed(chain, false, 0x89ab0000 + round);
	}
}

/* The next hop is refused: its sender says so, and is none the worse. */
static void expect_broken(u16 first, u16 last, const char *what)
{
	const struct chain chain = { .length = 2, .ids = { first, last } };
	struct ffa_regs request, reply;
	int width;

	for (width = 32; width <= 64; width += 32) {
		request = relay_request(&chain, width == 64, 7);
		reply = ffa_direct(&request, NULL);
		if (!expect_response(&request, &reply, "%d-bit relay %s", width,
				     what))
			continue;
		expect_eq((u32)reply.x[3], RESULT_HOP_REFUSED,
			  "result of a %d-bit relay %s", width, what);
		expect_eq((u32)reply.x[4], (u32)FFA_RET_INVALID_PARAMETERS,
			  "error of a %d-bit relay %s", width, what);
	}
}

void relay_chain(void)
{
	static struct chain chain = { .length = 2, .ids = { RELAY_ID, ECHO_ID } };
	int cpu;

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, relay_on_this_cpu, &chain);

	expect_broken(RELAY_ID, ABSENT_SP_ID, "to the id after the last");
	expect_broken(RELAY_ID, SPMC_ID, "to the SPMC");
	expect_broken(RELAY_ID, RELAY_ID, "to itself");
	/* Partitions ask nothing of the normal world. */
	expect_broken(RELAY_ID, ABSENT_VM_ID, "to a VM");
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, relay_on_this_cpu, &chain);
}

void relay_depth_3(void)
{
	/* All orders of the three. The first is the one that is drawn. */
	static struct chain chains[] = {
		{ .length = 3, .ids = { RELAY_ID, IRQ_ID, ECHO_ID } },
		{ .length = 3, .ids = { RELAY_ID, ECHO_ID, IRQ_ID } },
		{ .length = 3, .ids = { IRQ_ID, RELAY_ID, ECHO_ID } },
		{ .length = 3, .ids = { IRQ_ID, ECHO_ID, RELAY_ID } },
		{ .length = 3, .ids = { ECHO_ID, RELAY_ID, IRQ_ID } },
		{ .length = 3, .ids = { ECHO_ID, IRQ_ID, RELAY_ID } },
	};
	int cpu, i;

	for_each_online_cpu(cpu)
		for (i = 0; i < ARRAY_SIZE(chains); i++)
			run_on_cpu(cpu, relay_on_this_cpu, &chains[i]);
}

// SPDX-License-Identifier: GPL-2.0
/* Interrupts of the secure world, and partitions that are asked to finish early. */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/smp.h>

#include <asm/neon.h>

#include "harness.h"
#include "preempt.h"
#include "protocol.h"
#include "scenarios.h"

static const struct partition *const echo = &partitions[0];
static const struct partition *const irq = &partitions[1];
static const struct partition *const relay = &partitions[2];

/* How often an interrupt has come to a partition, and how. */
struct counts {
	u64 total, by_irq, by_fiq, by_message;
};

static bool get_counts(const struct partition *sp, u64 command, u64 intid,
		       struct counts *counts)
{
	struct ffa_regs reply;

	if (!ask(&reply, sp, command, intid))
		return false;
	*counts = (struct counts){ reply.x[4], reply.x[5], reply.x[6],
				   reply.x[7] };
	return true;
}

/* Expects it to have come as many times more, in all and by each way. */
static void expect_more(const struct partition *sp, u64 command, u64 intid,
			const struct counts *before, struct counts more,
			const char *when)
{
	struct counts now;

	if (!get_counts(sp, command, intid, &now))
		return;
	expect_eq(now.total - before->total, more.total,
		  "times %s got interrupt %llu %s", sp->name, intid, when);
	expect_eq(now.by_irq - before->by_irq, more.by_irq,
		  "times %s got interrupt %llu by IRQ %s", sp->name, intid,
		  when);
	expect_eq(now.by_fiq - before->by_fiq, more.by_fiq,
		  "times %s got interrupt %llu by FIQ %s", sp->name, intid,
		  when);
	expect_eq(now.by_message - before->by_message, more.by_message,
		  "times %s got interrupt %llu by FFA_INTERRUPT %s", sp->name,
		  intid, when);
}

#define ONCE_BY_MESSAGE	((struct counts){ .total = 1, .by_message = 1 })
#define ONCE_BY_IRQ	((struct counts){ .total = 1, .by_irq = 1 })
#define ONCE_BY_FIQ	((struct counts){ .total = 1, .by_fiq = 1 })
#define NEVER		((struct counts){})

static bool arm_timer(const struct partition *sp, unsigned int us, bool fiq)
{
	u64 ticks = ticks_of_us(us);
	struct ffa_regs reply;

	return ask(&reply, sp, CMD_ARM_TIMER, ticks, fiq) &&
	       expect_eq(reply.x[4] & 3, 1, "CNTP_CTL_EL0 of an armed timer") &&
	       expect_eq(reply.x[5] - reply.x[7], ticks,
			 "CNTP_CVAL_EL0 of an armed timer less the counter") &&
	       expect_true((u32)reply.x[6] <= ticks || (int)reply.x[6] < 0,
			   "CNTP_TVAL_EL0 of an armed timer is 0x%llx",
			   reply.x[6]);
}

struct spin {
	struct hrtimer timer;
	bool done;
};

static enum hrtimer_restart end_spin(struct hrtimer *timer)
{
	WRITE_ONCE(container_of(timer, struct spin, timer)->done, true);
	return HRTIMER_NORESTART;
}

/*
 * Lets Linux run on this CPU until a timer of its own has expired. All that was
 * due on this CPU before has been signalled by then, however slow the host is.
 */
static void run_linux(unsigned int us, bool busy)
{
	unsigned int changed;
	struct spin spin = {};

	if (!busy) {
		usleep_range(us, us + 1);
		return;
	}
	kernel_neon_begin();
	hrtimer_init_on_stack(&spin.timer, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
	spin.timer.function = end_spin;
	fp_fill(LINUX_SEED);
	hrtimer_start(&spin.timer, ns_to_ktime((u64)us * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (!READ_ONCE(spin.done))
		cpu_relax();
	changed = fp_check(LINUX_SEED);
	hrtimer_cancel(&spin.timer);
	destroy_hrtimer_on_stack(&spin.timer);
	kernel_neon_end();
	expect_eq(changed, 0, "FP and SIMD registers of Linux that changed");
}

static void timer_in_normal_world(void *unused)
{
	struct counts before;
	int variant;

	/* While Linux spins and while it sleeps, signalled by IRQ and by FIQ. */
	for (variant = 0; variant < 4; variant++) {
		if (!get_counts(irq, CMD_COUNTS, TIMER_INTID, &before) ||
		    !arm_timer(irq, 1000, variant & 1))
			return;
		run_linux(2000, variant & 2);
		expect_more(irq, CMD_COUNTS, TIMER_INTID, &before,
			    ONCE_BY_MESSAGE, "in the normal world");
		/* That was all. */
		run_linux(2000, variant & 2);
		expect_more(irq, CMD_COUNTS, TIMER_INTID, &before,
			    ONCE_BY_MESSAGE, "and a while later");
	}

	/* One that is turned off in time does not come. */
	if (!get_counts(irq, CMD_COUNTS, TIMER_INTID, &before) ||
	    !arm_timer(irq, 1000000, false))
		return;
	expect_true(ask(&(struct ffa_regs){}, irq, CMD_ARM_TIMER, 0),
		    "the timer is turned off");
	run_linux(2000, true);
	expect_more(irq, CMD_COUNTS, TIMER_INTID, &before, NEVER,
		    "after it was turned off");
}

/*
 * Has the alarm of irq's clock ring, which it does when the next second begins,
 * while Linux sleeps.
 */
static bool ring_in_normal_world(void)
{
	struct counts before, now;
	struct ffa_regs reply;
	int waits;

	if (!get_counts(irq, CMD_COUNTS, ALARM_INTID, &before) ||
	    !ask(&reply, irq, CMD_ARM_ALARM, 1))
		return false;
	now = before;
	for (waits = 0; waits < 500 && now.total == before.total; waits++) {
		run_linux(10000, false);
		if (!get_counts(irq, CMD_COUNTS, ALARM_INTID, &now))
			return false;
	}
	run_linux(2000, true);
	expect_more(irq, CMD_COUNTS, ALARM_INTID, &before, ONCE_BY_MESSAGE,
		    "from its device");
	return now.total != before.total;
}

void secure_irq_in_normal_world(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, timer_in_normal_world, NULL);
	ring_in_normal_world();
}

/* Whether irq handled its last interrupt while sp held its registers. */
static bool handled_meanwhile(const struct partition *sp)
{
	struct ffa_regs held, handled;

	return ask(&held, sp, CMD_TIMES) && ask(&handled, irq, CMD_TIMES) &&
	       held.x[4] < handled.x[6] && handled.x[6] < held.x[5];
}

static void expect_held(const struct ffa_regs *request, const char *what)
{
	struct ffa_regs reply = ffa_direct(request, NULL);

	if (!expect_response(request, &reply, "HOLD %s", what))
		return;
	expect_eq(reply.x[3], 0, "result of HOLD %s", what);
	expect_eq(reply.x[4], 0, "registers that changed %s", what);
	expect_true(reply.x[5] > 0, "turns of the loop %s", what);
}

/*
 * The interrupt comes once, whenever it does. On a host that is slow at the wrong
 * moment it may do so before the other partition runs or after it; so that it
 * does while it runs, both get more time until the host keeps up.
 */
static int expect_handled_meanwhile(u16 first, u64 hops, bool fiq)
{
	struct ffa_regs request;
	struct counts before;
	int tries = 0;
	unsigned int us;

	for (us = 1000; us < 1000000; us *= 2) {
		tries++;
		if (!get_counts(irq, CMD_COUNTS, TIMER_INTID, &before) ||
		    !arm_timer(irq, us, fiq))
			return tries;
		request = ffa_request64(first, CMD_HOLD, ticks_of_us(2 * us),
					SP_SEED, hops);
		expect_held(&request,
			    "with a secure interrupt for another partition");
		run_linux(2000, true);
		expect_more(irq, CMD_COUNTS, TIMER_INTID, &before,
			    ONCE_BY_MESSAGE, "while another partition ran");
		if (handled_meanwhile(echo))
			break;
	}
	expect_true(us < 1000000, "irq handled its interrupt while echo ran on CPU %d",
		    smp_processor_id());
	return tries;
}

static void timer_in_other_partition(void *unused)
{
	/* Ended by its own interrupt. */
	struct ffa_regs own = ffa_request64(RELAY_ID, CMD_HOLD,
					    ticks_of_us(HOLD_US), SP_SEED, 0,
					    ticks_of_us(1000));
	struct ffa_regs reply;
	struct counts before;
	int round, tries = 0;

	/* Alone and in a chain, signalled by IRQ and by FIQ. */
	for (round = 0; round < 8; round++)
		tries += expect_handled_meanwhile(round & 1 ? RELAY_ID : ECHO_ID,
						  round & 1 ? ECHO_ID : 0,
						  round & 2);
	note("irq handled 8 interrupts while echo ran on CPU %d, of %d", smp_processor_id(),
	     tries);

	/* For the partition itself it is an exception. */
	for (round = 0; round < 4; round++) {
		if (!get_counts(relay, CMD_COUNTS, TIMER_INTID, &before))
			return;
		reply = ffa_direct(&own, NULL);
		if (!expect_response(&own, &reply, "HOLD with its own timer"))
			return;
		expect_eq(reply.x[3], 0, "result of HOLD with its own timer");
		expect_eq(reply.x[4], 0,
			  "registers that changed in the partition's own interrupt");
		expect_eq(reply.x[7], 1, "interrupts that came as exceptions");
		expect_more(relay, CMD_COUNTS, TIMER_INTID, &before,
			    ONCE_BY_IRQ, "while it ran");
	}
}

/* A device's interrupt, which comes to this CPU when the next second begins. */
static void alarm_in_other_partition(void)
{
	/*
	 * How long Linux sleeps and echo runs then. Where the clock is virtual the
	 * first is certain, and every turn of a longer loop would be run; where it
	 * is the host's, the last leaves it most of a second to be slow in.
	 */
	static const struct {
		unsigned int sleep_us, hold_us;
	} tries[] = { { 950000, 100000 }, { 500000, 1000000 }, { 0, 2000000 } };
	struct ffa_regs request, reply;
	struct counts before;
	int i;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		if (!ring_in_normal_world())
			return;
		if (!get_counts(irq, CMD_COUNTS, ALARM_INTID, &before) ||
		    !ask(&reply, irq, CMD_ARM_ALARM, 1))
			return;
		if (tries[i].sleep_us)
			run_linux(tries[i].sleep_us, false);
		request = ffa_request64(ECHO_ID, CMD_HOLD,
					ticks_of_us(tries[i].hold_us), SP_SEED);
		expect_held(&request,
			    "with a device's interrupt for another partition");
		run_linux(2000, true);
		expect_more(irq, CMD_COUNTS, ALARM_INTID, &before,
			    ONCE_BY_MESSAGE, "from its device");
		if (handled_meanwhile(echo))
			break;
	}
	expect_true(i < ARRAY_SIZE(tries),
		    "irq handled its device's interrupt while echo ran");
}

void secure_irq_in_other_partition(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, timer_in_other_partition, NULL);
	alarm_in_other_partition();
}

static void exit_on_this_cpu(void *unused)
{
	struct ffa_regs request = ffa_request64(IRQ_ID, CMD_HOLD,
						ticks_of_us(HOLD_US), SP_SEED);
	int cpu = smp_processor_id();
	struct preemption seen;
	struct counts before;
	struct ffa_regs reply, times;
	int round;

	for (round = 0; round < 4; round++) {
		if (!get_counts(irq, CMD_EXITS, 0, &before))
			return;
		reply = ffa_direct_preempted(&request, round & 1 ? 0 : 1000, 1,
					     NULL, &seen);
		if (!expect_response(&request, &reply, "HOLD on CPU %d", cpu))
			return;
		expect_eq(reply.x[3], 0, "result of HOLD on CPU %d", cpu);
		expect_eq(reply.x[4], 0, "registers that changed on CPU %d",
			  cpu);
		expect_eq(reply.x[6], 1, "managed exits in HOLD on CPU %d",
			  cpu);
		/* It answers, instead of being preempted. */
		expect_eq(seen.interrupts, 0, "times FFA_INTERRUPT on CPU %d",
			  cpu);
		expect_eq(seen.fp_changed, 0,
			  "FP and SIMD registers of Linux that changed on CPU %d",
			  cpu);
		if (ask(&times, irq, CMD_TIMES))
			expect_true(times.x[5] - times.x[4] < request.x[4],
				    "HOLD ends early on CPU %d", cpu);
		expect_more(irq, CMD_EXITS, 0, &before, ONCE_BY_FIQ,
			    "to finish early");
	}
}

/* The partition that is asked is the one that runs; who asked for it waits. */
static void exit_in_chain(void *unused)
{
	struct ffa_regs request = ffa_request64(RELAY_ID, CMD_HOLD,
						ticks_of_us(HOLD_US), SP_SEED,
						IRQ_ID);
	int cpu = smp_processor_id();
	struct preemption seen;
	struct counts before;
	struct ffa_regs reply;

	if (!get_counts(irq, CMD_EXITS, 0, &before))
		return;
	reply = ffa_direct_preempted(&request, 1000, 1, NULL, &seen);
	if (!expect_response(&request, &reply, "HOLD by a chain on CPU %d", cpu))
		return;
	expect_eq(reply.x[3], 0, "result of HOLD by a chain on CPU %d", cpu);
	expect_eq(reply.x[4], 0, "registers that changed on CPU %d", cpu);
	expect_eq(reply.x[6], 1, "managed exits in HOLD on CPU %d", cpu);
	expect_more(irq, CMD_EXITS, 0, &before, ONCE_BY_FIQ, "in a chain");
}

void managed_exit(void)
{
	struct ffa_regs reply;
	int cpu;

	/* Offered to those who ask for it in their manifest. */
	if (ask(&reply, irq, CMD_FEATURES, FFA_FEATURE_MEI)) {
		expect_eq(reply.x[4], 0, "FFA_FEATURES(MEI) by irq");
		expect_true(reply.x[5] > 0, "the managed exit interrupt of irq");
	}

	for_each_online_cpu(cpu) {
		run_on_cpu(cpu, exit_on_this_cpu, NULL);
		run_on_cpu(cpu, exit_in_chain, NULL);
	}
}

// SPDX-License-Identifier: GPL-2.0
/* Interrupts of Linux that come while a partition has the CPU. */
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/smp.h>

#include <asm/arch_timer.h>
#include <asm/neon.h>

#include "harness.h"
#include "preempt.h"
#include "protocol.h"
#include "scenarios.h"

#define EACH_VECTOR(do)                                                      \
	do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7)                      \
	do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)                \
	do(16) do(17) do(18) do(19) do(20) do(21) do(22) do(23)              \
	do(24) do(25) do(26) do(27) do(28) do(29) do(30) do(31)

#define FILL_VECTOR(n)                                                       \
	"	add	x9, %0, #" #n "\n"                                   \
	"	mvn	x10, x9\n"                                           \
	"	fmov	d" #n ", x9\n"                                       \
	"	mov	v" #n ".d[1], x10\n"

#define CHECK_VECTOR(n)                                                      \
	"	add	x9, %1, #" #n "\n"                                   \
	"	fmov	x10, d" #n "\n"                                      \
	"	cmp	x10, x9\n"                                           \
	"	cinc	%0, %0, ne\n"                                        \
	"	mvn	x9, x9\n"                                            \
	"	mov	x10, v" #n ".d[1]\n"                                 \
	"	cmp	x10, x9\n"                                           \
	"	cinc	%0, %0, ne\n"

noinline void fp_fill(u64 seed)
{
	asm volatile(".arch_extension fp\n"
		     "	.arch_extension simd\n"
		     EACH_VECTOR(FILL_VECTOR)
		     "	mov	x9, #0x400000\n" /* FPCR.RMode */
		     "	msr	fpcr, x9\n"
		     "	mov	x9, #0x8000000\n" /* FPSR.QC */
		     "	msr	fpsr, x9\n"
		     : : "r"(seed) : "x9", "x10", "memory");
}

noinline unsigned int fp_check(u64 seed)
{
	u64 changed = 0;

	asm volatile(".arch_extension fp\n"
		     "	.arch_extension simd\n"
		     EACH_VECTOR(CHECK_VECTOR)
		     "	mrs	x9, fpcr\n"
		     "	cmp	x9, #0x400000\n"
		     "	cinc	%0, %0, ne\n"
		     "	mrs	x9, fpsr\n"
		     "	mov	x10, #0x8000000\n"
		     "	cmp	x9, x10\n"
		     "	cinc	%0, %0, ne\n"
		     "	msr	fpcr, xzr\n"
		     "	msr	fpsr, xzr\n"
		     : "+r"(changed) : "r"(seed)
		     : "x9", "x10", "cc", "memory");
	return changed;
}

u64 ticks_of_us(unsigned int us)
{
	return div_u64((u64)us * arch_timer_get_cntfrq(), USEC_PER_SEC);
}

struct preemptor {
	struct hrtimer timer;
	int cpu;
	/* Whether a partition has been interrupted and not been resumed yet. */
	bool interrupted;
	struct preemption *result;
};

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct preemptor *preemptor =
		container_of(timer, struct preemptor, timer);

	if (smp_processor_id() == preemptor->cpu &&
	    READ_ONCE(preemptor->interrupted))
		preemptor->result->fired++;
	else
		preemptor->result->misplaced++;
	return HRTIMER_NORESTART;
}

static void stop_on_this_cpu(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs reply;

	ask(&reply, sp, CMD_STOP);
}

void stop_hold(const struct partition *sp)
{
	run_on_cpu((smp_processor_id() + 1) % CPU_COUNT, stop_on_this_cpu,
		   (void *)sp);
}

static void expire_in(struct hrtimer *timer, unsigned int us)
{
	hrtimer_start(timer, ns_to_ktime((u64)us * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

struct ffa_regs ffa_direct_preempted(const struct ffa_regs *request,
				     unsigned int timer_us, unsigned int times,
				     const struct partition *last,
				     struct preemption *result)
{
	struct preemptor preemptor = { .result = result };
	unsigned int armed = 1;
	struct ffa_regs reply;
	unsigned long flags;

	*result = (struct preemption){};
	kernel_neon_begin();
	hrtimer_init_on_stack(&preemptor.timer, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
	preemptor.timer.function = on_timer;
	fp_fill(LINUX_SEED);

	/*
	 * With interrupts masked from here on, the timer cannot be handled
	 * before the call; the secure world takes no notice of Linux's mask.
	 */
	local_irq_save(flags);
	preemptor.cpu = smp_processor_id();
	expire_in(&preemptor.timer, timer_us);
	reply = ffa_smc(request);
	while ((u32)reply.x[0] == FFA_INTERRUPT) {
		if (result->interrupts++ && result->target != (u32)reply.x[1])
			result->target_changed = true;
		result->target = reply.x[1];
		WRITE_ONCE(preemptor.interrupted, true);
		local_irq_restore(flags);
		/* Whatever interrupted is handled here. */
		if (last && READ_ONCE(result->fired) == times) {
			stop_hold(last);
			last = NULL;
		}
		local_irq_save(flags);
		WRITE_ONCE(preemptor.interrupted, false);
		/* Expired when the partition goes on: it is sure to stop it. */
		if (armed < times && !hrtimer_active(&preemptor.timer)) {
			armed++;
			expire_in(&preemptor.timer, 0);
		}
		reply = ffa_call(FFA_RUN, result->target);
	}
	local_irq_restore(flags);

	hrtimer_cancel(&preemptor.timer);
	destroy_hrtimer_on_stack(&preemptor.timer);
	result->fp_changed = fp_check(LINUX_SEED);
	kernel_neon_end();
	return reply;
}

static enum hrtimer_restart do_nothing(struct hrtimer *timer)
{
	return HRTIMER_NORESTART;
}

struct ffa_regs ffa_direct_until_preempted(const struct ffa_regs *request,
					   unsigned int timer_us)
{
	struct hrtimer timer;
	struct ffa_regs reply;
	unsigned long flags;

	hrtimer_init_on_stack(&timer, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
	timer.function = do_nothing;
	local_irq_save(flags);
	expire_in(&timer, timer_us);
	reply = ffa_smc(request);
	local_irq_restore(flags);
	hrtimer_cancel(&timer);
	destroy_hrtimer_on_stack(&timer);
	return reply;
}

static void expect_preempted(const struct ffa_regs *request, u16 head,
			     const struct partition *last,
			     unsigned int timer_us, unsigned int times)
{
	struct preemption seen;
	struct ffa_regs reply;
	int cpu = smp_processor_id();

	reply = ffa_direct_preempted(request, timer_us, times, last, &seen);
	if (!expect_response(request, &reply, "HOLD on CPU %d", cpu))
		return;
	expect_eq(reply.x[3], 0, "result of HOLD on CPU %d", cpu);
	expect_eq(reply.x[4], 0,
		  "registers of partitions that changed on CPU %d", cpu);
	expect_true(reply.x[5] > 0, "turns of the loop on CPU %d", cpu);
	expect_true(seen.interrupts >= times,
		    "%u times FFA_INTERRUPT on CPU %d", seen.interrupts, cpu);
	expect_eq(seen.fired, times,
		  "times the timer fired between FFA_INTERRUPT and FFA_RUN on CPU %d",
		  cpu);
	expect_eq(seen.misplaced, 0, "times the timer fired elsewhere");
	expect_eq(seen.target, (u32)head << 16 | cpu,
		  "who was interrupted, on CPU %d", cpu);
	expect_true(!seen.target_changed, "the same one is interrupted always");
	expect_eq(seen.fp_changed, 0,
		  "FP and SIMD registers of Linux that changed on CPU %d", cpu);
}

static void preempt_on_this_cpu(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs request = ffa_request64(
		sp->id, CMD_HOLD, ticks_of_us(HOLD_US), SP_SEED);

	/* Once, in the middle. */
	expect_preempted(&request, sp->id, sp, 1000, 1);
	/* Again and again. */
	request.x[5] = SP_SEED + smp_processor_id();
	expect_preempted(&request, sp->id, sp, 1000, 5);
	/* At once: the timer has expired when the partition is entered. */
	expect_preempted(&request, sp->id, sp, 0, 1);
}

/* Stops HOLD and resumes it until it answers. */
static void expect_end(const struct ffa_regs *request, struct ffa_regs reply,
		       const struct partition *last)
{
	stop_hold(last);
	while ((u32)reply.x[0] == FFA_INTERRUPT)
		reply = ffa_call(FFA_RUN, (u32)reply.x[1]);
	if (expect_response(request, &reply, "HOLD after it was interrupted"))
		expect_eq(reply.x[4], 0, "registers that changed");
}

/* Everybody else goes on while one is interrupted. */
static void others_answer_meanwhile(void *unused)
{
	struct ffa_regs request = ffa_request64(
		ECHO_ID, CMD_HOLD, ticks_of_us(HOLD_US), SP_SEED);
	int cpu = smp_processor_id();
	struct ffa_regs reply, other;

	reply = ffa_direct_until_preempted(&request, 1000);
	if (!expect_eq((u32)reply.x[0], FFA_INTERRUPT, "HOLD on CPU %d", cpu))
		return;
	expect_error(ffa_smc(&request), FFA_RET_BUSY,
		     "a request to who is interrupted on CPU %d", cpu);
	other = ffa_direct64(RELAY_ID, 0xabcd, cpu);
	expect_eq(other.x[4], cpu, "echo by relay on CPU %d", cpu);
	expect_error(ffa_call(FFA_RUN, (u32)ECHO_ID << 16 | (cpu ^ 1)),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_RUN of a context of another CPU");
	expect_end(&request, reply, &partitions[0]);
}

void ns_preempt_resume(void)
{
	int cpu;

	for_each_online_cpu(cpu) {
		run_on_cpu(cpu, preempt_on_this_cpu,
			   (void *)&partitions[0]);
		run_on_cpu(cpu, preempt_on_this_cpu,
			   (void *)&partitions[2]);
		run_on_cpu(cpu, others_answer_meanwhile, NULL);
	}
}

static void preempt_chain_on_this_cpu(void *unused)
{
	struct ffa_regs request = ffa_request64(
		RELAY_ID, CMD_HOLD, ticks_of_us(HOLD_US), SP_SEED, ECHO_ID);

	expect_preempted(&request, RELAY_ID, &partitions[0], 1000, 1);
	expect_preempted(&request, RELAY_ID, &partitions[0], 1000, 5);
	request.x[1] = ffa_route(HOST_ID, ECHO_ID);
	request.x[6] = RELAY_ID;
	expect_preempted(&request, ECHO_ID, &partitions[2], 1000, 5);
}

/* The middle and the end of a chain are not Linux's to run. */
static void only_the_head_is_run(void *unused)
{
	struct ffa_regs request = ffa_request64(
		RELAY_ID, CMD_HOLD, ticks_of_us(HOLD_US), SP_SEED, ECHO_ID);
	int cpu = smp_processor_id();
	struct ffa_regs go_on = { .x = { FFA_RUN, (u32)RELAY_ID << 16 | cpu } };
	struct ffa_regs reply, end;
	int tries = 0;

	reply = ffa_direct_until_preempted(&request, 1000);
	for (;;) {
		if (!expect_eq((u32)reply.x[0], FFA_INTERRUPT,
			       "HOLD by a chain on CPU %d", cpu))
			return;
		end = ffa_call(FFA_RUN, (u32)ECHO_ID << 16 | cpu);
		/* Interrupted before echo was asked, it waits for work. */
		if ((u32)end.x[0] != FFA_MSG_WAIT || ++tries == 10)
			break;
		reply = ffa_direct_until_preempted(&go_on, 1000);
	}
	expect_error(end, FFA_RET_DENIED, "FFA_RUN of the end of a chain");
	expect_end(&request, reply, &partitions[0]);
}

void chain_preempt_resume(void)
{
	int cpu;

	for_each_online_cpu(cpu) {
		run_on_cpu(cpu, preempt_chain_on_this_cpu, NULL);
		run_on_cpu(cpu, only_the_head_is_run, NULL);
	}
}

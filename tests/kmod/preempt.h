/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Preemption on purpose: a timer of Linux that is certain to expire on this CPU
 * while the secure world has it.
 */
#ifndef TANTALUM_PREEMPT_H
#define TANTALUM_PREEMPT_H

#include "ffa.h"
#include "protocol.h"

/* Linux's pattern; those of the partitions differ in all registers. */
#define LINUX_SEED	0x4c494e5558000000
#define SP_SEED		0x5345435552450000

/*
 * Put a pattern into the FP and SIMD registers, and count those that no longer
 * hold it. Between kernel_neon_begin() and kernel_neon_end() the registers are
 * this task's, and the compiler uses none of them.
 */
void fp_fill(u64 seed);
unsigned int fp_check(u64 seed);

/* Ticks of the system counter in a number of microseconds. */
u64 ticks_of_us(unsigned int us);

struct preemption {
	/* How often the secure world gave the CPU back by FFA_INTERRUPT. */
	unsigned int interrupts;
	/* How often the timer's handler ran between such a one and FFA_RUN. */
	unsigned int fired;
	/* How often it ran on another CPU, or at another time. */
	unsigned int misplaced;
	/* The w1 of each FFA_INTERRUPT was this, or not every one the same. */
	u32 target;
	bool target_changed;
	/* Linux's FP and SIMD registers that changed across all of it. */
	unsigned int fp_changed;
};

/*
 * How long a partition holds its registers if nobody stops it, in microseconds:
 * longer than any host takes to signal an interrupt, for a timer of QEMU may be
 * late by much more than what the guest's counter says.
 */
#define HOLD_US		10000000

/* Ends a HOLD that this partition is at on this CPU, by a message on another. */
void stop_hold(const struct partition *sp);

/*
 * Makes a direct request on this CPU with a pattern in the FP and SIMD registers,
 * while a timer expires after timer_us, and from then on each time before the
 * partition is resumed, as many times in all. Then a HOLD of the partition last,
 * which may be NULL, is stopped. Stays with the request until it is answered.
 */
struct ffa_regs ffa_direct_preempted(const struct ffa_regs *request,
				     unsigned int timer_us, unsigned int times,
				     const struct partition *last,
				     struct preemption *result);

/*
 * Makes a direct request on this CPU while a timer expires after timer_us, and
 * returns what comes back first: FFA_INTERRUPT if it takes longer than that.
 */
struct ffa_regs ffa_direct_until_preempted(const struct ffa_regs *request,
					   unsigned int timer_us);

#endif

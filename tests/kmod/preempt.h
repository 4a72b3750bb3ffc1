/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Preemption on purpose: a timer of Linux that is certain to expire on this CPU
 * while the secure world has it.
 */
#ifndef TANTALUM_PREEMPT_H
#define TANTALUM_PREEMPT_H

#include "ffa.h"

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
 * Makes a direct request on this CPU with a pattern in the FP and SIMD registers,
 * while a timer expires after timer_us, and from then on each time before the
 * partition is resumed, as many times in all. Stays with the request until it is
 * answered.
 */
struct ffa_regs ffa_direct_preempted(const struct ffa_regs *request,
				     unsigned int timer_us, unsigned int times,
				     struct preemption *result);

/*
 * Makes a direct request on this CPU while a timer expires after timer_us, and
 * returns what comes back first: FFA_INTERRUPT if it takes longer than that.
 */
struct ffa_regs ffa_direct_until_preempted(const struct ffa_regs *request,
					   unsigned int timer_us);

#endif

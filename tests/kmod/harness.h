/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The scenarios' harness: named scenarios, counted assertions, KTAP on the
 * console.
 *
 * To add a scenario, write a `void name(void)` in the file of its group, declare
 * it in scenarios.h and add it to the table in main.c, at the place where it
 * shall run. The script that runs the module needs no change.
 *
 * An assertion states what must be true and what it was about. It counts, prints
 * one line if it does not hold, and returns whether it held, so that a scenario
 * can stop where going on makes no sense:
 *
 *	if (!expect_success(reply, "FFA_RXTX_MAP"))
 *		return;
 */
#ifndef TANTALUM_HARNESS_H
#define TANTALUM_HARNESS_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "ffa.h"

struct scenario {
	const char *name;
	void (*run)(void);
	/*
	 * Every other scenario starts with a negotiated version, or fails: pKVM
	 * refuses all calls before that, which would read like many failures.
	 */
	bool before_version;
};

/* The first of these names that the table does not have, or NULL. */
const char *unknown_scenario(const struct scenario *scenarios, size_t count,
			     char *const only[], size_t only_count);

/* Runs the scenarios of the table, or only those named, and prints KTAP. */
void run_scenarios(const struct scenario *scenarios, size_t count,
		   char *const only[], size_t only_count);

/* Prints a line of diagnostics under the running scenario's name. */
__printf(1, 2) void note(const char *fmt, ...);

/* Whether pKVM stands between this kernel and the firmware. */
bool under_pkvm(void);

/*
 * Whether this kernel is in a virtual machine whose hypervisor relays FF-A: which
 * answers some calls itself, keeps others from the machine, and owns the
 * notifications' bitmaps, the schedule receiver interrupt and the scheduling of
 * partitions.
 */
bool in_vm(void);

/*
 * The version of FF-A that this endpoint speaks for the whole of this boot: 1.1,
 * which Linux's driver asks for, or 1.2. Once it is 1.2, that driver is refused.
 */
u32 host_version(void);

/* Whether Linux's driver can be used: it speaks 1.1 and asks for nothing else. */
bool driver_is_usable(void);

/* Whether nobody has spoken FF-A before the scenarios in this boot. */
bool first_in_boot(void);

/*
 * Fails the running scenario, on the way back from a call: what the secure world
 * may not change has changed. Not counted, since every call is looked at.
 */
__printf(1, 2) void fail_call(const char *what, ...);

/* Runs fn on a CPU, and waits for it. */
void run_on_cpu(int cpu, void (*fn)(void *), void *argument);

struct where {
	const char *file;
	int line;
};

#define HERE ((struct where){ .file = __FILE_NAME__, .line = __LINE__ })

/* The last arguments say what was checked, in printf form. */
#define expect_true(condition, ...) \
	check_true(HERE, (condition), #condition, __VA_ARGS__)
#define expect_eq(actual, expected, ...) \
	check_eq(HERE, (actual), (expected), __VA_ARGS__)
/* The answer is FFA_SUCCESS, in either width. */
#define expect_success(reply, ...)                                  \
	({                                                          \
		const struct ffa_regs reply_ = (reply);             \
		check_success(HERE, &reply_, __VA_ARGS__);          \
	})
/* The answer is FFA_ERROR with exactly this code. */
#define expect_error(reply, code, ...)                              \
	({                                                          \
		const struct ffa_regs reply_ = (reply);             \
		check_error(HERE, &reply_, (code), __VA_ARGS__);    \
	})
/* The answer is the response to this request, of the same width. */
#define expect_response(request, reply, ...) \
	check_response(HERE, (request), (reply), __VA_ARGS__)

/*
 * ask(&reply, partition, x3, ...): sends a command of protocol.h as a 64-bit
 * request and expects a response with result zero.
 */
#define ask(reply, sp, ...)                                         \
	({                                                          \
		const struct ffa_regs command_ =                    \
			ffa_request64((sp)->id, __VA_ARGS__);       \
		check_answer(HERE, &command_, (reply), (sp)->name); \
	})

bool check_answer(struct where where, const struct ffa_regs *request,
		  struct ffa_regs *reply, const char *partition);
__printf(4, 5) bool check_true(struct where where, bool holds,
			       const char *condition, const char *what, ...);
__printf(4, 5) bool check_eq(struct where where, u64 actual, u64 expected,
			     const char *what, ...);
__printf(3, 4) bool check_success(struct where where,
				  const struct ffa_regs *reply,
				  const char *what, ...);
__printf(4, 5) bool check_error(struct where where,
				const struct ffa_regs *reply, int code,
				const char *what, ...);
__printf(4, 5) bool check_response(struct where where,
				   const struct ffa_regs *request,
				   const struct ffa_regs *reply,
				   const char *what, ...);

#endif

// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) fmt

#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "harness.h"
#include "protocol.h"

/* A loop that goes wrong would bury the first, telling line under the rest. */
#define MAX_FAILURES_SHOWN	20

static bool pkvm = true;
module_param(pkvm, bool, 0444);
MODULE_PARM_DESC(pkvm, "whether pKVM stands between Linux and the firmware");

static ushort vm;
module_param(vm, ushort, 0444);
MODULE_PARM_DESC(vm, "id of the virtual machine that this kernel is in; 0: it is a host");

static unsigned int version = FFA_1(1);
module_param(version, uint, 0444);
MODULE_PARM_DESC(version, "version of FF-A that the scenarios speak");

static bool first = true;
module_param(first, bool, 0444);
MODULE_PARM_DESC(first, "whether these are the first to speak FF-A in this boot");

/* Assertions are made on several CPUs at once. */
static const char *running = "none";
static atomic_t assertions;
static atomic_t failures;

bool under_pkvm(void)
{
	return pkvm;
}

bool in_vm(void)
{
	return vm != 0;
}

u16 own_id(void)
{
	return vm;
}

u32 host_version(void)
{
	return version;
}

bool driver_is_usable(void)
{
	return version <= FFA_VERSION_1_1;
}

bool first_in_boot(void)
{
	return first;
}

void note(const char *fmt, ...)
{
	struct va_format text = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	text.va = &args;
	pr_info("# %s: %pV\n", running, &text);
	va_end(args);
}

static void fail(struct where where, const char *what, va_list *args,
		 const char *fmt, ...)
{
	struct va_format about = { .fmt = what, .va = args };
	struct va_format outcome = { .fmt = fmt };
	int nth = atomic_inc_return(&failures);
	va_list outcome_args;

	if (nth > MAX_FAILURES_SHOWN) {
		if (nth == MAX_FAILURES_SHOWN + 1)
			note("more failures are counted but not shown");
		return;
	}
	va_start(outcome_args, fmt);
	outcome.va = &outcome_args;
	note("%s:%d: %pV: %pV", where.file, where.line, &about,
	     &outcome);
	va_end(outcome_args);
}

void fail_call(const char *what, ...)
{
	va_list args;

	va_start(args, what);
	fail(HERE, what, &args, "not as before the call");
	va_end(args);
}

bool check_true(struct where where, bool holds, const char *condition,
		const char *what, ...)
{
	va_list args;

	atomic_inc(&assertions);
	if (holds)
		return true;
	va_start(args, what);
	fail(where, what, &args, "expected %s, which does not hold", condition);
	va_end(args);
	return false;
}

bool check_eq(struct where where, u64 actual, u64 expected, const char *what,
	      ...)
{
	va_list args;

	atomic_inc(&assertions);
	if (actual == expected)
		return true;
	va_start(args, what);
	fail(where, what, &args, "expected 0x%llx, got 0x%llx", expected,
	     actual);
	va_end(args);
	return false;
}

bool check_success(struct where where, const struct ffa_regs *reply,
		   const char *what, ...)
{
	char got[128];
	va_list args;

	atomic_inc(&assertions);
	if ((u32)reply->x[0] == FFA_SUCCESS || (u32)reply->x[0] == FFA_FN64_SUCCESS)
		return true;
	ffa_describe(reply, got, sizeof(got));
	va_start(args, what);
	fail(where, what, &args, "expected FFA_SUCCESS, got %s", got);
	va_end(args);
	return false;
}

bool check_error(struct where where, const struct ffa_regs *reply, int code,
		 const char *what, ...)
{
	char got[128];
	va_list args;

	atomic_inc(&assertions);
	if (ffa_is_error(reply) && (int)reply->x[2] == code)
		return true;
	ffa_describe(reply, got, sizeof(got));
	va_start(args, what);
	fail(where, what, &args, "expected FFA_ERROR %s (%d), got %s",
	     ffa_error_name(code), code, got);
	va_end(args);
	return false;
}

bool check_response(struct where where, const struct ffa_regs *request,
		    const struct ffa_regs *reply, const char *what, ...)
{
	bool wide = (u32)request->x[0] == FFA_FN64_MSG_SEND_DIRECT_REQ;
	u32 function = wide ? FFA_FN64_MSG_SEND_DIRECT_RESP :
			      FFA_MSG_SEND_DIRECT_RESP;
	/* The response runs the other way. */
	u32 route = ffa_route((u16)request->x[1], (u16)(request->x[1] >> 16));
	char got[128];
	va_list args;

	atomic_inc(&assertions);
	if ((u32)reply->x[0] == function && (u32)reply->x[1] == route &&
	    (u32)reply->x[2] == 0)
		return true;
	ffa_describe(reply, got, sizeof(got));
	va_start(args, what);
	fail(where, what, &args,
	     "expected a %s direct response (w1 = 0x%x, w2 = 0x0), got %s",
	     wide ? "64-bit" : "32-bit", route, got);
	va_end(args);
	return false;
}

bool check_answer(struct where where, const struct ffa_regs *request,
		  struct ffa_regs *reply, const char *partition)
{
	*reply = ffa_direct(request, NULL);
	return check_response(where, request, reply, "command 0x%llx to %s",
			      request->x[3], partition) &&
	       check_eq(where, reply->x[3], 0, "result of command 0x%llx by %s",
			request->x[3], partition);
}

struct cpu_work {
	void (*fn)(void *argument);
	void *argument;
};

static int do_cpu_work(void *data)
{
	struct cpu_work *work = data;

	work->fn(work->argument);
	return 0;
}

void run_on_cpu(int cpu, void (*fn)(void *), void *argument)
{
	struct cpu_work work = { .fn = fn, .argument = argument };

	expect_eq(smp_call_on_cpu(cpu, do_cpu_work, &work, false), 0,
		  "running on CPU %d", cpu);
}

const char *unknown_scenario(const struct scenario *scenarios, size_t count,
			     char *const only[], size_t only_count)
{
	size_t i, j;

	for (i = 0; i < only_count; i++) {
		for (j = 0; j < count; j++)
			if (!strcmp(scenarios[j].name, only[i]))
				break;
		if (j == count)
			return only[i];
	}
	return NULL;
}

static bool is_selected(const struct scenario *scenario, char *const only[],
			size_t only_count)
{
	size_t i;

	for (i = 0; i < only_count; i++)
		if (!strcmp(scenario->name, only[i]))
			return true;
	return only_count == 0;
}

static void run_one(const struct scenario *scenario, int number)
{
	struct ffa_regs answer;

	running = scenario->name;
	atomic_set(&assertions, 0);
	atomic_set(&failures, 0);
	pr_info("# begin %s\n", scenario->name);

	if (!scenario->before_version) {
		answer = ffa_call(FFA_VERSION, version);
		if (!expect_true(ffa_is_version(answer.x[0]),
				 "FFA_VERSION(0x%x) before the scenario answered 0x%llx",
				 version, answer.x[0]))
			goto out;
	}
	scenario->run();

	/* The next scenario finds what this one found. */
	if (mailbox.mapped)
		expect_success(mailbox_unmap(), "giving the buffers back");
out:
	/* A scenario without assertions shows nothing. */
	pr_info("%s %d - %s # assertions=%d\n",
		atomic_read(&failures) || !atomic_read(&assertions) ? "not ok" :
								      "ok",
		number, scenario->name, atomic_read(&assertions));
}

void run_scenarios(const struct scenario *scenarios, size_t count,
		   char *const only[], size_t only_count)
{
	int number = 0, planned = 0;
	size_t i;

	for (i = 0; i < count; i++)
		planned += is_selected(&scenarios[i], only, only_count);

	pr_info("KTAP version 1\n");
	pr_info("1..%d\n", planned);
	for (i = 0; i < count; i++)
		if (is_selected(&scenarios[i], only, only_count))
			run_one(&scenarios[i], ++number);
	pr_info("# tantalum: done\n");
}

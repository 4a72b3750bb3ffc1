// SPDX-License-Identifier: GPL-2.0
/* Partitions that end and begin anew, and CPUs that do. */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include "harness.h"
#include "memory.h"
#include "preempt.h"
#include "protocol.h"
#include "scenarios.h"

#define SECRET	0x5345435245540000

struct life {
	u64 commands, mark, cpus_off, loops;
};

/* Asks a partition about its life and marks it. */
static bool ask_life(const struct partition *sp, u64 mark, struct life *life)
{
	struct ffa_regs reply;

	if (!ask(&reply, sp, CMD_LIFE, mark))
		return false;
	*life = (struct life){
		.commands = reply.x[4],
		.mark = reply.x[5],
		.cpus_off = reply.x[6],
		.loops = reply.x[7],
	};
	return true;
}

/* The next answer is the first of a life: nothing is left of an earlier one. */
static void expect_fresh(const struct partition *sp, u64 mark)
{
	struct life life;

	if (!ask_life(sp, mark, &life))
		return;
	expect_eq(life.commands, 1, "commands of the life of %s", sp->name);
	expect_eq(life.mark, FIRST_MARK, "mark of the life of %s", sp->name);
	expect_eq(life.cpus_off, 0, "CPUs off in the life of %s", sp->name);
	expect_eq(life.loops, 0, "loops in the life of %s", sp->name);
}

/* The partition lives as it did when it was marked. */
static void expect_marked(const struct partition *sp, u64 mark)
{
	struct life life;

	if (ask_life(sp, mark, &life))
		expect_eq(life.mark, mark, "mark of the life of %s", sp->name);
}

static void mark_all(u64 mark)
{
	struct life life;
	int i;

	for (i = 0; i < PARTITION_COUNT; i++)
		ask_life(&partitions[i], mark + i, &life);
}

static void expect_others_marked(const struct partition *but, u64 mark)
{
	int i;

	for (i = 0; i < PARTITION_COUNT; i++)
		if (&partitions[i] != but)
			expect_marked(&partitions[i], mark + i);
}

static void expect_serves(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs reply = ffa_direct64(sp->id, 0x77, 1, 2, 3, 4);

	expect_eq(reply.x[3], 0x77, "the answer of %s on CPU %d", sp->name,
		  smp_processor_id());
	expect_eq(reply.x[7], 4, "the answer of %s on CPU %d", sp->name,
		  smp_processor_id());
}

static void expect_all_serve(void *unused)
{
	int i;

	for (i = 0; i < PARTITION_COUNT; i++)
		expect_serves((void *)&partitions[i]);
}

/* Every way to fail ends the partition, and it begins anew, on this CPU. */
static void fails_on_this_cpu(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs request, reply;
	u64 way;

	for (way = 0; way < FAIL_WAYS; way++) {
		mark_all(SECRET);
		request = ffa_request64(sp->id, CMD_FAIL, way);
		reply = ffa_direct(&request, NULL);
		expect_error(reply, FFA_RET_ABORTED, "FAIL %llu by %s on CPU %d", way,
			     sp->name, smp_processor_id());
		expect_fresh(sp, SECRET);
		expect_others_marked(sp, SECRET);
	}
}

/* The partition in the middle is told, and lives. */
static void fails_in_a_chain(void *unused)
{
	const struct partition *echo = &partitions[0], *irq = &partitions[1];
	const struct partition *relay = &partitions[2];
	struct ffa_regs reply;

	mark_all(SECRET);
	if (ask(&reply, relay, CMD_FORWARD, echo->id, CMD_FAIL, 0))
		expect_eq((u32)reply.x[4], (u32)FFA_RET_ABORTED,
			  "the error that relay got from echo");
	expect_fresh(echo, SECRET);
	expect_others_marked(echo, SECRET);

	if (ask(&reply, relay, CMD_FORWARD, irq->id, CMD_FAIL, 4))
		expect_eq((u32)reply.x[4], (u32)FFA_RET_ABORTED,
			  "the error that relay got from irq");
	expect_fresh(irq, SECRET + 1);
	expect_marked(relay, SECRET + 2);
}

struct looper {
	struct completion done;
	const struct partition *sp;
	unsigned int preempted;
	struct ffa_regs reply;
};

static int loop_for_ever(void *argument)
{
	struct looper *looper = argument;
	struct ffa_regs request = ffa_request64(looper->sp->id, CMD_LOOP);

	looper->reply = ffa_direct(&request, &looper->preempted);
	complete(&looper->done);
	return 0;
}

/*
 * An execution context that is at it for ever on another CPU, with interrupts of
 * Linux coming, ends when its partition does. Who called it is told.
 */
static void loops_until_stopped(const struct partition *sp, int cpu)
{
	struct looper looper = { .sp = sp };
	struct task_struct *task;
	struct ffa_regs request;
	struct life life;

	mark_all(SECRET);
	init_completion(&looper.done);
	task = kthread_create_on_cpu(loop_for_ever, &looper, cpu, "tantalum-loop/%u");
	if (!expect_true(!IS_ERR(task), "a thread on CPU %d", cpu))
		return;
	wake_up_process(task);
	do {
		cond_resched();
		if (!ask_life(sp, SECRET, &life))
			return;
	} while (!life.loops);
	expect_eq(life.loops, 1, "loops of %s", sp->name);

	request = ffa_request64(sp->id, CMD_FAIL, 0);
	expect_error(ffa_direct(&request, NULL), FFA_RET_ABORTED,
		     "FAIL by %s while it loops on CPU %d", sp->name, cpu);
	wait_for_completion(&looper.done);
	expect_error(looper.reply, FFA_RET_ABORTED, "LOOP by %s on CPU %d", sp->name,
		     cpu);
	note("%s was preempted %u times while it looped on CPU %d", sp->name,
	     looper.preempted, cpu);
	/* Who saw its end first may have had to wait for the other. */
	ffa_direct64(sp->id, 1);
	expect_others_marked(sp, SECRET);
}

static void begin_to_loop(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs request = ffa_request64(sp->id, CMD_LOOP);

	expect_eq((u32)ffa_direct_until_preempted(&request, 1000).x[0], FFA_INTERRUPT,
		  "LOOP by %s", sp->name);
}

static void expect_run_aborted(void *argument)
{
	const struct partition *sp = argument;
	int cpu = smp_processor_id();
	struct ffa_regs reply;

	/* It begins anew first, where Linux may interrupt it. */
	do
		reply = ffa_call(FFA_RUN, (u32)sp->id << 16 | cpu);
	while ((u32)reply.x[0] == FFA_INTERRUPT);
	expect_error(reply, FFA_RET_ABORTED, "FFA_RUN of %s on CPU %d after its end",
		     sp->name, cpu);
}

/* One that was preempted is not forgotten: its caller learns it by FFA_RUN. */
static void preempted_until_stopped(const struct partition *sp, int cpu)
{
	struct ffa_regs request = ffa_request64(sp->id, CMD_FAIL, 1);

	mark_all(SECRET);
	run_on_cpu(cpu, begin_to_loop, (void *)sp);
	expect_error(ffa_direct(&request, NULL), FFA_RET_ABORTED, "FAIL by %s",
		     sp->name);
	expect_error(ffa_direct64(sp->id, 1), FFA_RET_ABORTED,
		     "%s, of which one execution context has not ended", sp->name);
	run_on_cpu(cpu, expect_run_aborted, (void *)sp);
	expect_fresh(sp, SECRET);
	expect_others_marked(sp, SECRET);
}

/* What it has borrowed returns with its end, though it never gave it back. */
static void loans_return(const struct partition *sp)
{
	u64 *page = (u64 *)get_zeroed_page(GFP_KERNEL);
	struct pages list[1];
	struct ffa_regs request, reply;
	struct offer offer;
	u64 handle;

	if (!expect_true(page, "a page"))
		return;
	list[0] = (struct pages){ .address = virt_to_phys(page), .pages = 1 };
	offer = SHARE(sp, list);
	if (!expect_success(memory_send(&offer, &handle), "FFA_MEM_SHARE"))
		goto out;
	tell(&reply, 0, sp, "retrieving", CMD_RETRIEVE, handle,
	     FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE, WISH(PERMIT_RW, 0));
	tell(&reply, 0, sp, "writing", CMD_WRITE, handle, 0, SECRET);
	expect_eq(READ_ONCE(page[0]), SECRET, "word that %s has written", sp->name);
	expect_error(memory_reclaim(handle, 0), FFA_RET_DENIED,
		     "FFA_MEM_RECLAIM of what %s has", sp->name);

	request = ffa_request64(sp->id, CMD_FAIL, 0);
	expect_error(ffa_direct(&request, NULL), FFA_RET_ABORTED, "FAIL by %s",
		     sp->name);
	if (expect_success(memory_reclaim(handle, 0),
			   "FFA_MEM_RECLAIM of what %s had", sp->name)) {
		WRITE_ONCE(page[0], 0);
		expect_fresh(sp, SECRET);
		expect_eq(READ_ONCE(page[0]), 0, "word that %s cannot write", sp->name);
		goto out;
	}
	/* A page that others have is not given away. */
	page = NULL;
out:
	free_page((unsigned long)page);
}

void partition_abort(void)
{
	const struct partition *echo = &partitions[0], *relay = &partitions[2];
	int cpu, i;

	if (!memory_begin())
		return;
	for (i = 0; i < PARTITION_COUNT; i++) {
		fails_on_this_cpu((void *)&partitions[i]);
		for_each_online_cpu(cpu)
			run_on_cpu(cpu, expect_all_serve, NULL);
	}
	for_each_online_cpu(cpu) {
		run_on_cpu(cpu, fails_on_this_cpu, (void *)echo);
		run_on_cpu(cpu, fails_in_a_chain, NULL);
	}
	if (!memory_begin())
		return;
	loans_return(echo);
	loans_return(relay);
	loops_until_stopped(echo, 1);
	loops_until_stopped(relay, 2);
	preempted_until_stopped(echo, 3);
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, expect_all_serve, NULL);
}

static void hold_on_this_cpu(void *argument)
{
	struct ffa_regs *request = argument;

	expect_eq((u32)ffa_direct_until_preempted(request, 1000).x[0], FFA_INTERRUPT,
		  "HOLD before CPU %d goes off", smp_processor_id());
}

static void yield_on_this_cpu(void *argument)
{
	struct ffa_regs *request = argument;

	expect_eq((u32)ffa_direct(request, NULL).x[0], FFA_YIELD,
		  "YIELD before CPU %d goes off", smp_processor_id());
}

/* What was begun before a CPU went off comes to its end. */
static void finish_on_this_cpu(void *argument)
{
	const struct ffa_regs *request = argument;
	u16 id = request->x[1];
	u32 target = (u32)id << 16 | (id == IRQ_ID ? 0 : smp_processor_id());
	struct ffa_regs reply;

	do
		reply = ffa_call(FFA_RUN, target);
	while ((u32)reply.x[0] == FFA_INTERRUPT);
	if (!expect_response(request, &reply, "command 0x%llx, finished on CPU %d",
			     request->x[3], smp_processor_id()))
		return;
	expect_eq(reply.x[3], 0, "result of command 0x%llx", request->x[3]);
	expect_eq(reply.x[4], request->x[3] == CMD_YIELD ? 1 : 0,
		  "yields, or registers that changed meanwhile");
}

static void off_and_on(int cpu)
{
	const struct partition *echo = &partitions[0];
	struct ffa_regs tied, free, reply;
	struct life before, after;
	int other;

	mark_all(SECRET);
	if (!ask_life(echo, SECRET, &before))
		return;
	if (!expect_eq(remove_cpu(cpu), 0, "turning CPU %d off", cpu))
		return;
	/* Others go on without it, and those that asked for it have heard of it. */
	for_each_online_cpu(other)
		run_on_cpu(other, expect_all_serve, NULL);
	if (ask_life(echo, SECRET, &after))
		expect_eq(after.cpus_off - before.cpus_off, 1,
			  "CPUs of which echo has heard that they went off");
	if (!expect_eq(add_cpu(cpu), 0, "turning CPU %d on", cpu))
		return;
	run_on_cpu(cpu, expect_all_serve, NULL);
	expect_others_marked(NULL, SECRET);

	/*
	 * What was preempted there waits for the CPU, or goes on elsewhere. How
	 * soon the timer of a CPU that has just come expires is Linux's affair,
	 * so HOLD goes on until it is stopped.
	 */
	tied = ffa_request64(ECHO_ID, CMD_HOLD, ticks_of_us(HOLD_US), 1);
	free = ffa_request64(IRQ_ID, CMD_YIELD, 1);
	run_on_cpu(cpu, hold_on_this_cpu, &tied);
	run_on_cpu(cpu, yield_on_this_cpu, &free);
	if (!expect_eq(remove_cpu(cpu), 0, "turning CPU %d off again", cpu))
		return;
	finish_on_this_cpu(&free);
	expect_serves((void *)echo);
	if (!expect_eq(add_cpu(cpu), 0, "turning CPU %d on again", cpu))
		return;
	ask(&reply, echo, CMD_STOP);
	run_on_cpu(cpu, finish_on_this_cpu, &tied);
	run_on_cpu(cpu, expect_all_serve, NULL);
}

void cpu_hotplug(void)
{
	int cpu;

	for (cpu = 1; cpu < CPU_COUNT; cpu++)
		off_and_on(cpu);
	expect_eq(num_online_cpus(), CPU_COUNT, "CPUs that are on");

	/* What works on every CPU that is on works on those as well. */
	direct_echo_32();
	direct_echo_64();
	direct_all_partitions();
	relay_chain();
	relay_depth_3();
	chain_cycle_refused();
}

// SPDX-License-Identifier: GPL-2.0
/* All CPUs at once. */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/smp.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

#define ROUNDS	2000

static atomic_t at_the_start, running;
static DECLARE_COMPLETION(all_done);

struct sender {
	int cpu;
	unsigned int wrong, busy, answered, preempted;
};

static struct sender senders[CPU_COUNT];

/* Whether an answer is this request's and nobody else's. */
static bool is_echo(const struct ffa_regs *request, const struct ffa_regs *reply)
{
	int i;

	for (i = 3; i < 8; i++)
		if (reply->x[i] != request->x[i])
			return false;
	return (u32)reply->x[0] == FFA_FN64_MSG_SEND_DIRECT_RESP &&
	       (u32)reply->x[1] == ffa_route((u16)request->x[1], HOST_ID);
}

static int send_all(void *argument)
{
	struct sender *sender = argument;
	struct ffa_regs request, reply;
	u64 tag;
	int round;

	atomic_dec(&at_the_start);
	while (atomic_read(&at_the_start))
		cpu_relax();

	for (round = 0; round < ROUNDS; round++) {
		tag = (u64)(sender->cpu + 1) << 32 | round;
		request = ffa_request64(ECHO_ID, tag, ~tag, tag << 16, 1, tag * 3);
		reply = ffa_direct(&request, &sender->preempted);
		if (!is_echo(&request, &reply))
			sender->wrong++;

		/* One execution context: it serves one at a time, and says so. */
		request = ffa_request64(IRQ_ID, tag, ~tag, tag << 16, 2, tag * 3);
		reply = ffa_direct(&request, &sender->preempted);
		if (ffa_is_error(&reply) && (int)reply.x[2] == FFA_RET_BUSY)
			sender->busy++;
		else if (is_echo(&request, &reply))
			sender->answered++;
		else
			sender->wrong++;
	}
	if (atomic_dec_and_test(&running))
		complete(&all_done);
	return 0;
}

static void send_from_all_cpus(void)
{
	struct task_struct *tasks[CPU_COUNT];
	unsigned int answered = 0;
	int cpu, count = 0;

	for_each_online_cpu(cpu) {
		if (!expect_true(cpu < CPU_COUNT, "CPU %d is one of %d", cpu, CPU_COUNT))
			return;
		senders[cpu] = (struct sender){ .cpu = cpu };
		tasks[count] = kthread_create_on_cpu(send_all, &senders[cpu], cpu,
						     "tantalum-all/%u");
		if (!expect_true(!IS_ERR(tasks[count]), "a thread on CPU %d", cpu))
			break;
		count++;
	}
	expect_eq(count, CPU_COUNT, "CPUs that send");
	reinit_completion(&all_done);
	atomic_set(&at_the_start, count);
	atomic_set(&running, count);
	for (cpu = 0; cpu < count; cpu++)
		wake_up_process(tasks[cpu]);
	wait_for_completion(&all_done);

	for_each_online_cpu(cpu) {
		expect_eq(senders[cpu].wrong, 0, "wrong answers on CPU %d", cpu);
		expect_eq(senders[cpu].answered + senders[cpu].busy, ROUNDS,
			  "answers of irq on CPU %d", cpu);
		answered += senders[cpu].answered;
		note("CPU %d: %u answers and %u times BUSY of irq, %u preemptions",
		     cpu, senders[cpu].answered, senders[cpu].busy,
		     senders[cpu].preempted);
	}
	expect_true(answered > 0, "irq answers somebody");
}

static void expect_busy(void *argument)
{
	const struct partition *sp = argument;

	expect_error(ffa_direct64(sp->id, 1), FFA_RET_BUSY,
		     "%s, which is at work on another CPU, asked on CPU %d",
		     sp->name, smp_processor_id());
}

static void expect_serves(void *argument)
{
	const struct partition *sp = argument;
	struct ffa_regs reply = ffa_direct64(sp->id, 0x77);

	expect_eq(reply.x[3], 0x77, "the answer of %s on CPU %d", sp->name,
		  smp_processor_id());
}

/* With the one execution context at work for certain, all others are refused. */
static void busy_for_certain(void)
{
	const struct partition *irq = &partitions[1];
	struct ffa_regs request, reply;
	int cpu;

	request = ffa_request64(irq->id, CMD_YIELD, 1);
	reply = ffa_direct(&request, NULL);
	if (!expect_eq((u32)reply.x[0], FFA_YIELD, "YIELD by irq"))
		return;
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, expect_busy, (void *)irq);
	reply = ffa_call(FFA_RUN, (u32)irq->id << 16);
	while ((u32)reply.x[0] == FFA_INTERRUPT)
		reply = ffa_call(FFA_RUN, (u32)reply.x[1]);
	if (expect_response(&request, &reply, "YIELD by irq"))
		expect_eq(reply.x[4], 1, "yields that succeeded");
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, expect_serves, (void *)irq);
}

void parallel_4cpu(void)
{
	send_from_all_cpus();
	busy_for_certain();
}

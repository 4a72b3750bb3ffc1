// SPDX-License-Identifier: GPL-2.0
/*
 * tantalum_ffa_test: FF-A scenarios, from Linux at NS-EL1 through pKVM and the
 * SPMD to the SPMC and its partitions. Loading the module runs them; the result
 * is KTAP on the console.
 *
 * Needs ffa-core.ko loaded; loads and unloads ffa-module.ko itself. run.sh loads
 * it so.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

static char *only[40];
static unsigned int only_count;
module_param_array(only, charp, &only_count, 0444);
MODULE_PARM_DESC(only, "names of the scenarios to run, with commas; default: all");

const struct partition partitions[PARTITION_COUNT] = {
	{
		.name = "echo",
		.id = ECHO_ID,
		.version = FFA_1(2),
		.contexts = CPU_COUNT,
		.uuid = UUID_INIT(0xfef7ffd1, 0xe415, 0x4628, 0xa0, 0x4e, 0x49,
				  0xbd, 0x74, 0xda, 0x1a, 0x8e),
	},
	{
		.name = "irq",
		.id = IRQ_ID,
		.version = FFA_1(1),
		.contexts = 1,
		.uuid = UUID_INIT(0x8ec95f81, 0x41cf, 0x416a, 0x96, 0x47, 0xae,
				  0xb3, 0xfd, 0x7a, 0x2d, 0x90),
	},
	{
		.name = "relay",
		.id = RELAY_ID,
		.version = FFA_1(1),
		.contexts = CPU_COUNT,
		.uuid = UUID_INIT(0xaf4f2a92, 0xf302, 0x4f7f, 0x93, 0xfc, 0x28,
				  0xf3, 0x4f, 0x17, 0xa6, 0x6f),
	},
};

#define SCENARIO(scenario) { .name = #scenario, .run = scenario }

static const struct scenario scenarios[] = {
	{
		.name = "version_negotiation",
		.run = version_negotiation,
		.before_version = true,
	},
	SCENARIO(ids),
	SCENARIO(features),
	SCENARIO(rxtx_lifecycle),
	SCENARIO(partition_info),
	SCENARIO(bus_probe),
	SCENARIO(direct_echo_32),
	SCENARIO(direct_echo_64),
	SCENARIO(direct_all_partitions),
	SCENARIO(relay_chain),
	SCENARIO(relay_depth_3),
	SCENARIO(chain_cycle_refused),
	SCENARIO(direct_refused),
	SCENARIO(ns_preempt_resume),
	SCENARIO(chain_preempt_resume),
	SCENARIO(managed_exit),
	SCENARIO(yield),
	SCENARIO(secure_irq_in_normal_world),
	SCENARIO(secure_irq_in_other_partition),
	SCENARIO(parallel_4cpu),
	SCENARIO(share_reclaim),
	SCENARIO(lend_reclaim),
	SCENARIO(share_fragmented),
	SCENARIO(reclaim_while_retrieved),
	SCENARIO(share_malformed),
	SCENARIO(share_page_twice),
	SCENARIO(sp_share),
	SCENARIO(sp_lend),
	SCENARIO(sp_share_multi),
	SCENARIO(notify_host),
	SCENARIO(notify_sp),
	SCENARIO(indirect_message),
	SCENARIO(partition_abort),
	SCENARIO(cpu_hotplug),
	/* A partition that has given part of itself away does not begin anew. */
	SCENARIO(sp_donate),
};

static DECLARE_COMPLETION(finished);

static int run_all(void *unused)
{
	run_scenarios(scenarios, ARRAY_SIZE(scenarios), only, only_count);
	kthread_complete_and_exit(&finished, 0);
}

static int __init tantalum_init(void)
{
	const char *unknown = unknown_scenario(scenarios, ARRAY_SIZE(scenarios),
					       only, only_count);
	struct task_struct *task;
	int ret;

	if (unknown) {
		pr_err("tantalum_ffa_test: there is no scenario %s\n", unknown);
		return -EINVAL;
	}
	ret = mailbox_alloc();
	if (ret)
		return ret;

	/*
	 * On one CPU: a preempted partition is resumed on the CPU that it was
	 * preempted on. Scenarios that need other CPUs say so.
	 */
	task = kthread_create_on_cpu(run_all, NULL, 0, "tantalum/%u");
	if (IS_ERR(task)) {
		mailbox_free();
		return PTR_ERR(task);
	}
	wake_up_process(task);
	wait_for_completion(&finished);

	/*
	 * Success, whatever the scenarios showed: their result is on the
	 * console, and BusyBox's insmod would run a module that fails again.
	 */
	return 0;
}
module_init(tantalum_init);

static void __exit tantalum_exit(void)
{
	mailbox_free();
}
module_exit(tantalum_exit);

MODULE_DESCRIPTION("FF-A end-to-end scenarios of Tantalum");
MODULE_LICENSE("GPL");

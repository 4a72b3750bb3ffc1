/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TANTALUM_SCENARIOS_H
#define TANTALUM_SCENARIOS_H

/* discovery.c */
void version_negotiation(void);
void ids(void);
void features(void);

/* mailbox.c */
void rxtx_lifecycle(void);
void partition_info(void);

/* bus.c */
void bus_probe(void);

/* direct.c */
void direct_echo_32(void);
void direct_echo_64(void);
void direct_all_partitions(void);
void direct_refused(void);

/* relay.c */
void relay_chain(void);
void relay_depth_3(void);

/* memory_host.c */
void share_reclaim(void);
void lend_reclaim(void);
void share_fragmented(void);
void reclaim_while_retrieved(void);

/* memory_refused.c */
void share_malformed(void);
void share_page_twice(void);

/* memory_sp.c */
void sp_share(void);
void sp_lend(void);
void sp_donate(void);
void sp_share_multi(void);

/* notify.c */
void notify_host(void);
void notify_sp(void);

/* indirect.c */
void indirect_message(void);

/* preempt.c */
void ns_preempt_resume(void);
void chain_preempt_resume(void);

/* interrupt.c */
void managed_exit(void);
void secure_irq_in_normal_world(void);
void secure_irq_in_other_partition(void);

/* chain.c */
void chain_cycle_refused(void);
void yield(void);

/* parallel.c */
void parallel_4cpu(void);

/* lifecycle.c */
void partition_abort(void);
void cpu_hotplug(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Notification calls of the host, raw. */
#ifndef TANTALUM_NOTIFY_H
#define TANTALUM_NOTIFY_H

#include "ffa.h"
#include "protocol.h"

/* Flags of FFA_NOTIFICATION_GET: whose notifications are read. */
#define GET_FROM_SPS		BIT(0)
#define GET_FROM_VMS		BIT(1)
#define GET_FROM_SPM		BIT(2)
#define GET_FROM_HYPERVISOR	BIT(3)

/* Flags of FFA_NOTIFICATION_SET. */
#define NOTIFICATION_DELAY_SRI		BIT(1)
#define NOTIFICATION_FOR_VCPU(vcpu)	((u32)(vcpu) << 16 | BIT(0))

/* What the SPM signals: there is a message in the RX buffer. */
#define SPM_RX_FULL	BIT(0)

/* These return 0 or the error code. */
int bitmap_create(u16 id, u32 vcpus);
int bitmap_destroy(u16 id);
int notification_bind(u16 sender, u16 receiver, u32 flags, u64 bitmap);
int notification_unbind(u16 sender, u16 receiver, u64 bitmap);
int notification_set(u16 sender, u16 receiver, u32 flags, u64 bitmap);
int notification_info_code(void);

struct ffa_regs notification_get(u16 receiver, u16 vcpu, u32 flags);
struct ffa_regs notification_info_get(void);

/* Has a partition carry out a command: 0 or the error code. */
int partition_code(const struct partition *sp, u64 command, u64 ids, u64 flags,
		   u64 bitmap);

#endif

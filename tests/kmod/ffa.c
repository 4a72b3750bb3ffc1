// SPDX-License-Identifier: GPL-2.0
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "ffa.h"

struct mailbox mailbox;

struct ffa_regs ffa_smc(const struct ffa_regs *request)
{
	struct arm_smccc_1_2_regs args, res;
	struct ffa_regs reply;

	BUILD_BUG_ON(sizeof(args) != sizeof(*request));
	memcpy(&args, request, sizeof(args));
	arm_smccc_1_2_smc(&args, &res);
	memcpy(&reply, &res, sizeof(reply));
	return reply;
}

struct ffa_regs ffa_direct(const struct ffa_regs *request,
			   unsigned int *preempted)
{
	struct ffa_regs reply = ffa_smc(request);

	while ((u32)reply.x[0] == FFA_INTERRUPT) {
		if (preempted)
			(*preempted)++;
		/* The interrupt was taken on the way back to this kernel. */
		cond_resched();
		reply = ffa_call(FFA_RUN, (u32)reply.x[1]);
	}
	return reply;
}

void ffa_uuid_words(const uuid_t *uuid, u32 words[4])
{
	int i;

	for (i = 0; i < 4; i++)
		words[i] = (u32)uuid->b[4 * i] | (u32)uuid->b[4 * i + 1] << 8 |
			   (u32)uuid->b[4 * i + 2] << 16 |
			   (u32)uuid->b[4 * i + 3] << 24;
}

const char *ffa_error_name(int code)
{
	switch (code) {
	case FFA_RET_NOT_SUPPORTED:
		return "NOT_SUPPORTED";
	case FFA_RET_INVALID_PARAMETERS:
		return "INVALID_PARAMETERS";
	case FFA_RET_NO_MEMORY:
		return "NO_MEMORY";
	case FFA_RET_BUSY:
		return "BUSY";
	case FFA_RET_INTERRUPTED:
		return "INTERRUPTED";
	case FFA_RET_DENIED:
		return "DENIED";
	case FFA_RET_RETRY:
		return "RETRY";
	case FFA_RET_ABORTED:
		return "ABORTED";
	case FFA_RET_NO_DATA:
		return "NO_DATA";
	case FFA_RET_NOT_READY:
		return "NOT_READY";
	}
	return "an unknown error code";
}

void ffa_describe(const struct ffa_regs *reply, char *text, size_t size)
{
	const u64 *x = reply->x;

	switch ((u32)x[0]) {
	case FFA_ERROR:
		scnprintf(text, size, "FFA_ERROR %s (%d)",
			  ffa_error_name((int)x[2]), (int)x[2]);
		return;
	case FFA_SUCCESS:
	case FFA_FN64_SUCCESS:
		scnprintf(text, size, "FFA_SUCCESS (w2 = 0x%llx, w3 = 0x%llx)",
			  x[2], x[3]);
		return;
	case FFA_INTERRUPT:
		scnprintf(text, size, "FFA_INTERRUPT (w1 = 0x%llx)", x[1]);
		return;
	case FFA_YIELD:
		scnprintf(text, size, "FFA_YIELD (w1 = 0x%llx)", x[1]);
		return;
	case FFA_MSG_WAIT:
		scnprintf(text, size, "FFA_MSG_WAIT");
		return;
	case FFA_MSG_SEND_DIRECT_RESP:
	case FFA_FN64_MSG_SEND_DIRECT_RESP:
		scnprintf(text, size,
			  "a %s direct response (w1 = 0x%llx, w2 = 0x%llx, x3 = 0x%llx)",
			  (u32)x[0] == FFA_MSG_SEND_DIRECT_RESP ? "32-bit" : "64-bit",
			  x[1], x[2], x[3]);
		return;
	}
	scnprintf(text, size, "x0 = 0x%llx, x1 = 0x%llx, x2 = 0x%llx, x3 = 0x%llx",
		  x[0], x[1], x[2], x[3]);
}

int mailbox_alloc(void)
{
	mailbox.tx = (void *)get_zeroed_page(GFP_KERNEL);
	mailbox.rx = (void *)get_zeroed_page(GFP_KERNEL);
	if (mailbox.tx && mailbox.rx)
		return 0;
	mailbox_free();
	return -ENOMEM;
}

void mailbox_free(void)
{
	/* Pages that the hypervisor still has pinned must not be given away. */
	if (mailbox.mapped)
		return;
	free_page((unsigned long)mailbox.tx);
	free_page((unsigned long)mailbox.rx);
	mailbox = (struct mailbox){};
}

struct ffa_regs mailbox_map(void)
{
	struct ffa_regs reply = ffa_call(FFA_FN64_RXTX_MAP,
					 virt_to_phys(mailbox.tx),
					 virt_to_phys(mailbox.rx), 1);

	if (!ffa_is_error(&reply))
		mailbox.mapped = true;
	return reply;
}

struct ffa_regs mailbox_unmap(void)
{
	struct ffa_regs reply = ffa_call(FFA_RXTX_UNMAP);

	if (!ffa_is_error(&reply))
		mailbox.mapped = false;
	return reply;
}

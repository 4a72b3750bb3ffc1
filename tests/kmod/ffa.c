// SPDX-License-Identifier: GPL-2.0
#include <linux/build_bug.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>

#include <asm/neon.h>
#include <asm/simd.h>

#include "ffa.h"
#include "harness.h"
#include "preempt.h"

struct mailbox mailbox;

/* What x18 to x28 hold during a call: this and their number. */
#define KEPT_SEED(register)                                                  \
	"	movz	" #register ", #0x4b45, lsl #48\n"                    \
	"	movk	" #register ", #0x5054, lsl #32\n"

#define EACH_KEPT(do)                                                        \
	do(18) do(19) do(20) do(21) do(22) do(23) do(24) do(25) do(26)       \
	do(27) do(28)

#define FILL_KEPT(n)	"	add	x" #n ", x29, #" #n "\n"

#define CHECK_KEPT(n)                                                        \
	"	add	x29, x30, #" #n "\n"                                 \
	"	cmp	x" #n ", x29\n"                                      \
	"	cinc	x0, x0, ne\n"

/*
 * The call itself. Returns how many of x18 to x28 came back changed: the calling
 * convention has them kept, and so is the secure world's to do. x29 and x30 are
 * kept too, or this would not return.
 */
static noinline u64 call(struct ffa_regs *registers)
{
	register struct ffa_regs *at asm("x0") = registers;

	BUILD_BUG_ON(sizeof(*registers) != 18 * sizeof(u64));
	asm volatile("	stp	x29, x30, [sp, #-32]!\n"
		     "	str	x0, [sp, #16]\n"
		     KEPT_SEED(x29)
		     EACH_KEPT(FILL_KEPT)
		     "	ldr	x29, [sp]\n"
		     "	ldp	x2, x3, [x0, #16]\n"
		     "	ldp	x4, x5, [x0, #32]\n"
		     "	ldp	x6, x7, [x0, #48]\n"
		     "	ldp	x8, x9, [x0, #64]\n"
		     "	ldp	x10, x11, [x0, #80]\n"
		     "	ldp	x12, x13, [x0, #96]\n"
		     "	ldp	x14, x15, [x0, #112]\n"
		     "	ldp	x16, x17, [x0, #128]\n"
		     "	ldp	x0, x1, [x0]\n"
		     "	smc	#0\n"
		     "	str	x0, [sp, #24]\n"
		     "	ldr	x0, [sp, #16]\n"
		     "	stp	x2, x3, [x0, #16]\n"
		     "	stp	x4, x5, [x0, #32]\n"
		     "	stp	x6, x7, [x0, #48]\n"
		     "	stp	x8, x9, [x0, #64]\n"
		     "	stp	x10, x11, [x0, #80]\n"
		     "	stp	x12, x13, [x0, #96]\n"
		     "	stp	x14, x15, [x0, #112]\n"
		     "	stp	x16, x17, [x0, #128]\n"
		     "	str	x1, [x0, #8]\n"
		     "	ldr	x1, [sp, #24]\n"
		     "	str	x1, [x0]\n"
		     KEPT_SEED(x30)
		     "	mov	x0, #0\n"
		     EACH_KEPT(CHECK_KEPT)
		     "	ldp	x29, x30, [sp], #32\n"
		     : "+r"(at)
		     :
		     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9",
		       "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		       "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25",
		       "x26", "x27", "x28", "cc", "memory");
	return (u64)at;
}

/* How many registers an answer defines, from x0 on. */
static unsigned int defined_registers(const struct ffa_regs *request,
				      const struct ffa_regs *reply)
{
	bool wide = (u32)reply->x[0] == FFA_MSG_SEND_DIRECT_RESP2 ||
		    (u32)request->x[0] == FFA_PARTITION_INFO_GET_REGS;

	return wide ? 18 : 8;
}

/* Of the others each is as it was before the call, or zero. */
static void expect_nothing_else(const struct ffa_regs *request,
				const struct ffa_regs *reply)
{
	unsigned int n;

	for (n = defined_registers(request, reply); n < ARRAY_SIZE(reply->x); n++)
		if (reply->x[n] && reply->x[n] != request->x[n])
			fail_call("x%u (0x%llx) after call 0x%llx that came back with 0x%llx",
				  n, reply->x[n], request->x[0], reply->x[0]);
}

struct ffa_regs ffa_smc(const struct ffa_regs *request)
{
	/* In the middle of an interrupt, or of somebody else's use, they are not free. */
	bool vectors = may_use_simd() && !test_thread_flag(TIF_KERNEL_FPSTATE);
	struct ffa_regs registers = *request;
	unsigned int vectors_changed = 0;
	u64 kept_changed;

	if (vectors) {
		kernel_neon_begin();
		fp_fill(LINUX_SEED);
	}
	kept_changed = call(&registers);
	if (vectors) {
		vectors_changed = fp_check(LINUX_SEED);
		kernel_neon_end();
	}

	if (kept_changed)
		fail_call("%llu of x18 to x28 after call 0x%llx", kept_changed,
			  request->x[0]);
	if (vectors_changed)
		fail_call("%u FP and SIMD registers after call 0x%llx",
			  vectors_changed, request->x[0]);
	expect_nothing_else(request, &registers);
	return registers;
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

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Raw FF-A calls: registers in, registers out, nothing between the scenarios and
 * the SMC instruction. Linux's own FF-A driver is not involved.
 */
#ifndef TANTALUM_FFA_H
#define TANTALUM_FFA_H

#include <linux/arm-smccc.h>
#include <linux/arm_ffa.h>
#include <linux/types.h>
#include <linux/uuid.h>

/* Not in the kernel's header. */
#define FFA_RET_NOT_READY	(-10)
#define FFA_FEATURE_NPI		1
#define FFA_FEATURE_SRI		2
#define FFA_FEATURE_MEI		3
#define FFA_PARTITION_INFO_COUNT_ONLY	1
#define FFA_VERSION_1_2		FFA_PACK_VERSION_INFO(1, 2)
/* The same number where the language wants a constant. */
#define FFA_1(minor)		(1 << 16 | (minor))

struct ffa_regs {
	u64 x[18];
};

struct ffa_regs ffa_smc(const struct ffa_regs *request);

/*
 * ffa_call(x0, x1, ...): registers that are not named are zero. The block keeps
 * the registers off the stack frame once the call is made; a scenario makes many.
 */
#define ffa_call(...)                                             \
	({                                                        \
		const struct ffa_regs request_ = {                \
			.x = { __VA_ARGS__ }                      \
		};                                                \
		ffa_smc(&request_);                               \
	})

/* The two ids of a message, as w1 has them. */
static inline u32 ffa_route(u16 sender, u16 receiver)
{
	return (u32)sender << 16 | receiver;
}

/*
 * Sends a direct request and stays with it until it is answered: when an
 * interrupt of Linux preempts the partition, it is resumed by FFA_RUN. Must not
 * migrate between CPUs meanwhile. Adds the number of preemptions to *preempted
 * unless that is NULL.
 */
struct ffa_regs ffa_direct(const struct ffa_regs *request,
			   unsigned int *preempted);

/* ffa_direct32(receiver, w3, ...) and ffa_direct64(receiver, x3, ...) */
#define ffa_request32(receiver, ...)                                   \
	((struct ffa_regs){ .x = { FFA_MSG_SEND_DIRECT_REQ,            \
				   ffa_route(HOST_ID, (receiver)), 0, \
				   __VA_ARGS__ } })
#define ffa_request64(receiver, ...)                                   \
	((struct ffa_regs){ .x = { FFA_FN64_MSG_SEND_DIRECT_REQ,       \
				   ffa_route(HOST_ID, (receiver)), 0, \
				   __VA_ARGS__ } })
#define ffa_direct32(receiver, ...)                               \
	({                                                        \
		const struct ffa_regs request_ =                  \
			ffa_request32(receiver, __VA_ARGS__);     \
		ffa_direct(&request_, NULL);                      \
	})
#define ffa_direct64(receiver, ...)                               \
	({                                                        \
		const struct ffa_regs request_ =                  \
			ffa_request64(receiver, __VA_ARGS__);     \
		ffa_direct(&request_, NULL);                      \
	})

/* Whether an answer to FFA_VERSION is a version, 1.1 or later, not a refusal. */
static inline bool ffa_is_version(u64 answer)
{
	return answer >= FFA_VERSION_1_1 && answer < FFA_PACK_VERSION_INFO(2, 0);
}

static inline bool ffa_is_error(const struct ffa_regs *reply)
{
	return (u32)reply->x[0] == FFA_ERROR;
}

/* Words 0 to 3 of a UUID, as registers and records carry it. */
void ffa_uuid_words(const uuid_t *uuid, u32 words[4]);

/* Names for the console: "FFA_ERROR(DENIED)", "FFA_SUCCESS(w2=0x3)", ... */
const char *ffa_error_name(int code);
void ffa_describe(const struct ffa_regs *reply, char *text, size_t size);

/*
 * The RX and TX buffers of this module, one page each. They are this module's
 * only while Linux's driver is not loaded.
 */
struct mailbox {
	void *tx;
	void *rx;
	bool mapped;
};

extern struct mailbox mailbox;

int mailbox_alloc(void);
void mailbox_free(void);
struct ffa_regs mailbox_map(void);
struct ffa_regs mailbox_unmap(void);

/* Linux's FF-A driver, ffa-module.ko. 0, or what insmod or rmmod ended with. */
int driver_load(void);
int driver_unload(void);
bool driver_is_loaded(void);
/* Where the driver cannot be used: it is refused, and leaves no device. */
void expect_no_driver(void);

#endif

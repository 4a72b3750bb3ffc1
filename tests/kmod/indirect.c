// SPDX-License-Identifier: GPL-2.0
/* Indirect messages: from the TX buffer of one endpoint into the RX buffer of another. */
#include <linux/kernel.h>
#include <linux/string.h>

#include "harness.h"
#include "notify.h"
#include "protocol.h"
#include "scenarios.h"

static const struct partition *const echo = &partitions[0];
static const struct partition *const irq = &partitions[1];
static const struct partition *const relay = &partitions[2];

/* The header of a message. */
struct message {
	u32 flags;
	u32 reserved;
	u32 offset;
	u32 ids;
	u32 size;
	u32 reserved_1_2;
	/* Since FF-A 1.2; before it the message may begin here. */
	u32 uuid[4];
};

/* Where a message begins in the buffers of who speaks a version, if not elsewhere. */
static u32 message_offset(u32 version)
{
	return version >= FFA_VERSION_1_2 ? sizeof(struct message) :
					    offsetof(struct message, uuid);
}

static u32 offset_of(const struct partition *sp)
{
	return message_offset(sp->version);
}

/* The longest message that fits into a buffer. */
static u32 room_of(const struct partition *sp)
{
	return PAGE_SIZE - offset_of(sp);
}

static u8 pattern(u64 seed, u32 index)
{
	return (seed + index) * 0x9d >> 3;
}

static u64 checksum_of(const u8 *bytes, u32 size)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < size; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

static u64 checksum_of_pattern(u64 seed, u32 size)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < size; i++)
		sum = sum * 31 + pattern(seed, i);
	return sum;
}

static noinline int send(const struct partition *sp, u32 ids, u32 size, u64 seed,
		u32 offset, u32 flags)
{
	struct ffa_regs reply;

	/* A number that no answer has. */
	if (!ask(&reply, sp, CMD_NOTIFY_SEND, ids, size, seed,
		 (u64)flags << 32 | offset))
		return S32_MAX;
	return (int)reply.x[4];
}

#define expect_send(sp, ids, size, seed, offset, flags, code, ...)         \
	expect_eq((u32)send(sp, ids, size, seed, offset, flags), (u32)(code), \
		  __VA_ARGS__)

/* The partition has this message in its RX buffer. */
static noinline void expect_message(const struct partition *sp, u16 sender, u32 size,
			   u64 sum, const char *what)
{
	struct ffa_regs reply;

	if (!ask(&reply, sp, CMD_NOTIFY_RECEIVE) ||
	    !expect_eq((u32)reply.x[4], 0, "a message of %s %s", sp->name, what))
		return;
	expect_eq((u32)reply.x[5], ffa_route(sender, sp->id),
		  "sender and receiver of the message %s", what);
	expect_eq(reply.x[5] >> 32, offset_of(sp), "offset of the message %s",
		  what);
	expect_eq(reply.x[6], size, "size of the message %s", what);
	expect_eq(reply.x[7], sum, "bytes of the message %s", what);
}

/* The notification that says so, and its interrupt. */
static noinline void expect_rx_full(const struct partition *sp, const char *what)
{
	struct ffa_regs reply;

	if (!ask(&reply, sp, CMD_NOTIFY_NOTED))
		return;
	expect_eq(reply.x[4], 1, "notification pending interrupts of %s %s",
		  sp->name, what);
	expect_eq(reply.x[5] | reply.x[6], 0, "other notifications of %s %s",
		  sp->name, what);
	expect_eq(reply.x[7], SPM_RX_FULL, "notification of the SPM to %s %s",
		  sp->name, what);
}

static noinline void expect_release(const struct partition *sp, int code,
			   const char *what)
{
	expect_eq((u32)partition_code(sp, CMD_NOTIFY_RELEASE, 0, 0, 0),
		  (u32)code, "FFA_RX_RELEASE of %s %s", sp->name, what);
}

static void between_partitions(void)
{
	const u32 sizes[] = { 0, 1, 24, 1000, room_of(echo) };
	u32 route = ffa_route(ECHO_ID, RELAY_ID);
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 seed = 0x1234567 * (i + 1);

		if (!expect_send(echo, route, sizes[i], seed, offset_of(echo), 0,
				 0, "echo sends %u bytes to relay", sizes[i]))
			return;
		expect_rx_full(relay, "after a message");
		expect_message(relay, ECHO_ID, sizes[i],
			       checksum_of_pattern(seed, sizes[i]),
			       "from echo");
		/* One at a time. */
		expect_send(echo, route, 8, 1, offset_of(echo), 0, FFA_RET_BUSY,
			    "echo sends while relay's RX is full");
		expect_send(irq, ffa_route(IRQ_ID, RELAY_ID), 8, 1,
			    offset_of(irq), 0, FFA_RET_BUSY,
			    "irq sends while relay's RX is full");
		expect_message(relay, ECHO_ID, sizes[i],
			       checksum_of_pattern(seed, sizes[i]),
			       "after refused ones");
		expect_release(relay, 0, "after a message");
		expect_release(relay, FFA_RET_DENIED, "again");
	}

	/* A message may begin anywhere behind its header, which has 20 bytes in 1.1. */
	expect_send(echo, route, 100, 5, 51, NOTIFICATION_DELAY_SRI, 0,
		    "echo sends from byte 51, delayed");
	expect_rx_full(relay, "after a delayed one");
	expect_message(relay, ECHO_ID, 100, checksum_of_pattern(5, 100),
		       "from byte 51");
	expect_release(relay, 0, "at the end");
	expect_send(relay, ffa_route(RELAY_ID, ECHO_ID), 100, 6, 20, 0, 0,
		    "relay sends from byte 20");
	expect_rx_full(echo, "after relay's");
	expect_message(echo, RELAY_ID, 100, checksum_of_pattern(6, 100),
		       "from byte 20");
	expect_release(echo, 0, "after relay's");

	/* The other way round, and to a partition with one context. */
	expect_send(relay, ffa_route(RELAY_ID, IRQ_ID), 64, 9, offset_of(relay), 0,
		    0, "relay sends to irq");
	expect_rx_full(irq, "after a message");
	expect_message(irq, RELAY_ID, 64, checksum_of_pattern(9, 64),
		       "from relay");
	expect_release(irq, 0, "after a message");
	/* What a partition has not been told of is not its own to release. */
	expect_send(relay, ffa_route(RELAY_ID, IRQ_ID), 64, 9, offset_of(relay), 0,
		    0, "relay sends to irq again");
	expect_release(irq, FFA_RET_DENIED, "before it is told");
	/* It was told before it waited again, and to wait is to release. */
	expect_rx_full(irq, "on its way to wait");
	expect_release(irq, FFA_RET_DENIED, "after it has waited");
}

static void refused(void)
{
	const u32 at = offset_of(echo);
	const struct {
		u32 ids;
		u32 size;
		u32 offset;
		u32 flags;
		int code;
		const char *what;
	} cases[] = {
		{ ffa_route(IRQ_ID, RELAY_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "in irq's name" },
		{ ffa_route(HOST_ID, RELAY_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "in the host's name" },
		{ ffa_route(ECHO_ID, ECHO_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "to itself" },
		{ ffa_route(ECHO_ID, ABSENT_SP_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "to nobody" },
		{ ffa_route(ECHO_ID, ABSENT_VM_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "to a VM without buffers" },
		{ ffa_route(ECHO_ID, SPMC_ID), 8, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "to the SPMC" },
		{ ffa_route(ECHO_ID, RELAY_ID), 8, at - 1, 0,
		  FFA_RET_INVALID_PARAMETERS, "within its header" },
		{ ffa_route(ECHO_ID, RELAY_ID), room_of(echo) + 1, at, 0,
		  FFA_RET_INVALID_PARAMETERS, "beyond the buffer" },
		{ ffa_route(ECHO_ID, RELAY_ID), 1, PAGE_SIZE, 0,
		  FFA_RET_INVALID_PARAMETERS, "behind the buffer" },
		{ ffa_route(ECHO_ID, RELAY_ID), U32_MAX, U32_MAX, 0,
		  FFA_RET_INVALID_PARAMETERS, "with sizes that wrap" },
		{ ffa_route(ECHO_ID, RELAY_ID), 8, at, 1,
		  FFA_RET_INVALID_PARAMETERS, "with a reserved flag" },
	};
	u32 route = ffa_route(ECHO_ID, RELAY_ID);
	struct ffa_regs reply;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		expect_send(echo, cases[i].ids, cases[i].size, 3,
			    cases[i].offset, cases[i].flags, cases[i].code,
			    "echo sends %s", cases[i].what);
	expect_send(relay, ffa_route(RELAY_ID, ECHO_ID), 8, 3, 19, 0,
		    FFA_RET_INVALID_PARAMETERS, "relay sends within its header");
	/* The header before it may be longer than that in front of the sender's. */
	expect_send(relay, ffa_route(RELAY_ID, ECHO_ID), room_of(echo) + 1, 3,
		    offset_of(relay), 0, FFA_RET_NO_MEMORY,
		    "relay sends what needs more room at echo");
	expect_send(relay, ffa_route(RELAY_ID, ECHO_ID), room_of(echo), 3,
		    offset_of(relay), 0, 0, "relay sends what just fits");
	expect_rx_full(echo, "after what just fits");
	expect_message(echo, RELAY_ID, room_of(echo),
		       checksum_of_pattern(3, room_of(echo)), "that just fits");
	expect_release(echo, 0, "after what just fits");
	/* w1 is for hypervisors. */
	if (ask(&reply, echo, CMD_RAW, FFA_MSG_SEND2, ABSENT_VM_ID << 16))
		expect_eq((u32)reply.x[6], (u32)FFA_RET_INVALID_PARAMETERS,
			  "echo sends for a VM");
	expect_release(relay, FFA_RET_DENIED, "after refused messages");

	/* Without buffers on either side. */
	expect_eq((u32)partition_code(relay, CMD_NOTIFY_BUFFERS, 0, 0, 0), 0,
		  "relay unmaps its buffers");
	expect_send(echo, route, 8, 1, at, 0, FFA_RET_DENIED,
		    "echo sends to relay without buffers");
	if (ask(&reply, relay, CMD_RAW, FFA_MSG_SEND2))
		expect_eq((u32)reply.x[6], (u32)FFA_RET_DENIED,
			  "relay sends without buffers");
	expect_eq((u32)partition_code(relay, CMD_NOTIFY_BUFFERS, 1, 0, 0), 0,
		  "relay maps its buffers again");

	if (ask(&reply, relay, CMD_NOTIFY_NOTED))
		expect_eq(reply.x[4] | reply.x[7], 0,
			  "what relay was told of refused messages");
}

/* Writes a message of the host, to be changed or to be sent as it is. */
static struct message *host_message(u16 receiver, u32 offset, u32 size, u64 seed)
{
	struct message *message = mailbox.tx;
	u8 *bytes = mailbox.tx + offset;
	u32 i;

	/* What is neither header nor message does not count. */
	memset(mailbox.tx, 0xff, PAGE_SIZE);
	*message = (struct message){
		.offset = offset,
		.ids = ffa_route(HOST_ID, receiver),
		.size = size,
	};
	for (i = 0; i < size; i++)
		bytes[i] = pattern(seed, i);
	return message;
}

static struct ffa_regs host_send(u16 receiver, u32 size, u64 seed)
{
	host_message(receiver, message_offset(host_version()), size, seed);
	return ffa_call(FFA_MSG_SEND2);
}

/* What the header of 1.2 has, and those before it do not. */
static noinline void host_sends_to_service(void)
{
	struct message *message = host_message(ECHO_ID, 40, 16, 78);

	/* To the service of echo by name. */
	ffa_uuid_words(&echo->uuid, message->uuid);
	if (expect_success(ffa_call(FFA_MSG_SEND2), "FFA_MSG_SEND2 to a service")) {
		expect_rx_full(echo, "after a message to its service");
		expect_message(echo, HOST_ID, 16, checksum_of_pattern(78, 16),
			       "to its service");
		expect_release(echo, 0, "after a message to its service");
	}
	ffa_uuid_words(&irq->uuid, message->uuid);
	expect_error(ffa_call(FFA_MSG_SEND2), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 to a service of irq at echo");
	host_message(ECHO_ID, 39, 0, 78);
	expect_error(ffa_call(FFA_MSG_SEND2), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 within the header of 1.2");
	/* All of it, from a 1.2 endpoint to one at 1.1 too. */
	host_message(RELAY_ID, 40, PAGE_SIZE - 40, 79);
	if (expect_success(ffa_call(FFA_MSG_SEND2), "FFA_MSG_SEND2 to relay")) {
		expect_rx_full(relay, "after the host's message");
		expect_message(relay, HOST_ID, PAGE_SIZE - 40,
			       checksum_of_pattern(79, PAGE_SIZE - 40),
			       "from the host at 1.2");
		expect_release(relay, 0, "after the host's message");
	}
}

/* From the host to a partition: where pKVM is, only its own buffer is looked at. */
static void host_to_partition(void)
{
	struct ffa_regs reply = host_send(ECHO_ID, 500, 77);

	if (under_pkvm()) {
		/*
		 * What lies in pKVM's TX buffer is no message: zeros, or what
		 * is left of a memory transaction.
		 */
		expect_error(reply, FFA_RET_INVALID_PARAMETERS,
			     "FFA_MSG_SEND2 of the host under pKVM");
		return;
	}
	if (!expect_success(reply, "FFA_MSG_SEND2 of the host"))
		return;
	expect_rx_full(echo, "after the host's message");
	expect_message(echo, HOST_ID, 500, checksum_of_pattern(77, 500),
		       "from the host");
	expect_error(host_send(ECHO_ID, 8, 1), FFA_RET_BUSY,
		     "FFA_MSG_SEND2 while echo's RX is full");
	expect_release(echo, 0, "after the host's message");
	expect_error(host_send(HOST_ID, 8, 1), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 to the host itself");
	expect_error(host_send(ABSENT_SP_ID, 8, 1), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 to nobody");
	host_message(ECHO_ID, message_offset(host_version()), 8, 1)->ids =
		ffa_route(IRQ_ID, ECHO_ID);
	expect_error(ffa_call(FFA_MSG_SEND2), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 in irq's name");
	if (host_version() >= FFA_VERSION_1_2)
		host_sends_to_service();
}

/* From a partition to the host: under pKVM it comes into pKVM's RX buffer. */
static void partition_to_host(void)
{
	const struct message *message = mailbox.rx;
	u32 offset = message_offset(host_version());
	u32 route = ffa_route(ECHO_ID, HOST_ID);
	struct ffa_regs reply;

	if (!expect_eq(bitmap_create(HOST_ID, CPU_COUNT), 0,
		       "FFA_NOTIFICATION_BITMAP_CREATE"))
		return;
	memset(mailbox.rx, 0xa5, PAGE_SIZE);
	if (!expect_send(echo, route, 300, 55, offset_of(echo), 0, 0,
			 "echo sends to the host"))
		goto destroy;
	expect_send(echo, route, 8, 1, offset_of(echo), 0, FFA_RET_BUSY,
		    "echo sends while the host's RX is full");
	reply = notification_info_get();
	if (expect_success(reply, "FFA_NOTIFICATION_INFO_GET of a message"))
		expect_eq((u16)reply.x[3], HOST_ID, "who has a message");
	reply = notification_get(HOST_ID, 0, GET_FROM_SPM);
	if (expect_success(reply, "FFA_NOTIFICATION_GET of a message")) {
		expect_eq((u32)reply.x[6], SPM_RX_FULL,
			  "notification of the SPM to the host");
		expect_eq(reply.x[2] | reply.x[3] | reply.x[4] | reply.x[5], 0,
			  "other notifications to the host");
	}
	if (!under_pkvm()) {
		expect_eq(message->ids, route, "sender and receiver");
		expect_eq(message->size, 300, "size of echo's message");
		if (expect_eq(message->offset, offset,
			      "offset of echo's message"))
			expect_eq(checksum_of(mailbox.rx + offset, 300),
				  checksum_of_pattern(55, 300),
				  "bytes of echo's message");
		if (offset == sizeof(*message))
			expect_eq(message->uuid[0] | message->uuid[1] |
					  message->uuid[2] | message->uuid[3],
				  0, "service that echo's message is for");
	} else {
		expect_true(!memchr_inv(mailbox.rx, 0xa5, PAGE_SIZE),
			    "pKVM keeps the message from the host");
	}
	expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE of a message");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "a second FFA_RX_RELEASE");
	/* Nor is the host's what it has not been told of. */
	expect_send(echo, route, 8, 1, offset_of(echo),
		    NOTIFICATION_DELAY_SRI, 0,
		    "echo sends to the host again");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE unseen");
	reply = notification_get(HOST_ID, 0, GET_FROM_SPM);
	if (expect_success(reply, "FFA_NOTIFICATION_GET of the second message"))
		expect_eq((u32)reply.x[6], SPM_RX_FULL,
			  "notification of the second message");
	expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE once told");
	expect_eq((u32)notification_info_code(), (u32)FFA_RET_NO_DATA,
		  "a list after the release");
destroy:
	expect_eq(bitmap_destroy(HOST_ID), 0, "FFA_NOTIFICATION_BITMAP_DESTROY");
}

void indirect_message(void)
{
	int i;

	/* Its interrupt handler would read the notifications. */
	if (!expect_eq(driver_unload(), 0, "unloading Linux's driver"))
		return;
	for (i = 0; i < PARTITION_COUNT; i++)
		if (!expect_eq((u32)partition_code(&partitions[i],
						   CMD_NOTIFY_BUFFERS, 1, 0, 0),
			       0, "%s maps its buffers", partitions[i].name))
			return;

	expect_error(ffa_call(FFA_MSG_SEND2), FFA_RET_DENIED,
		     "FFA_MSG_SEND2 of the host without buffers");
	between_partitions();
	refused();
	/* What these have left for the scheduler. */
	notification_info_code();
	if (!expect_success(mailbox_map(), "FFA_RXTX_MAP"))
		return;
	expect_error(ffa_call(FFA_MSG_SEND2, (u32)ECHO_ID << 16),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 for a partition");
	expect_error(ffa_call(FFA_MSG_SEND2, 0, NOTIFICATION_DELAY_SRI),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_MSG_SEND2 of the host with a delay");
	host_to_partition();
	notification_info_code();
	partition_to_host();
}

// SPDX-License-Identifier: GPL-2.0
/* What the firmware says about itself: version, ids, features. */
#include <linux/cpumask.h>
#include <linux/kernel.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

/* NOT_SUPPORTED in x0: hypervisors give 64 bits, the SPMD hands on 32 of the SPMC's. */
#define VERSION_REFUSED	(under_pkvm() || in_vm() ? U64_MAX : U32_MAX)

static u64 version(u32 wanted)
{
	return ffa_call(FFA_VERSION, wanted).x[0];
}

/* Who asks for less learns what there is: pKVM and a VM's hypervisor have 1.1, the SPMC 1.2. */
static u64 version_there(void)
{
	return under_pkvm() || in_vm() ? FFA_VERSION_1_1 : FFA_VERSION_1_2;
}

static void version_on_this_cpu(void *unused)
{
	expect_eq(version(host_version()), version_there(),
		  "FFA_VERSION(0x%x) on CPU %d", host_version(),
		  smp_processor_id());
}

/* A partition negotiates with the SPMC itself; nobody answers for the SPMC. */
static void version_of_partition(const struct partition *sp)
{
	const struct {
		u32 version;
		const char *what;
	} refused[] = {
		{ FFA_PACK_VERSION_INFO(0, 9), "an older major version" },
		{ FFA_PACK_VERSION_INFO(2, 0), "a newer major version" },
		{ BIT(31) | FFA_VERSION_1_1, "reserved bit 31" },
		{ FFA_VERSION_1_0, "another version after other calls" },
	};
	struct ffa_regs reply;
	u32 negotiated;
	int i;

	if (!ask(&reply, sp, CMD_IDENTITY))
		return;
	negotiated = reply.x[6];
	expect_true(ffa_is_version(negotiated), "version 0x%x that %s sees",
		    negotiated, sp->name);

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!ask(&reply, sp, CMD_RAW, FFA_VERSION, refused[i].version))
			return;
		expect_eq((u32)reply.x[4], (u32)FFA_RET_NOT_SUPPORTED,
			  "FFA_VERSION(0x%x) from %s: %s", refused[i].version,
			  sp->name, refused[i].what);
	}

	/* None of that changed what was negotiated. */
	if (ask(&reply, sp, CMD_IDENTITY))
		expect_eq(reply.x[6], negotiated,
			  "version that %s sees after refusals", sp->name);
}

/* After another call, the version stays. */
static noinline void version_after_use(void)
{
	u32 other = host_version() == FFA_VERSION_1_1 ? FFA_VERSION_1_2 :
							 FFA_VERSION_1_1;

	/* Unlike FFA_ID_GET, this is not the SPMD's to answer. */
	expect_success(ffa_call(FFA_FEATURES, FFA_VERSION),
		       "FFA_FEATURES(FFA_VERSION)");

	/*
	 * Frozen. pKVM answers with what was negotiated, the SPMC refuses, and a
	 * VM's hypervisor refuses what is not the same in effect.
	 */
	expect_eq(version(FFA_VERSION_1_0),
		  under_pkvm() ? FFA_VERSION_1_1 : VERSION_REFUSED,
		  "FFA_VERSION(1.0) after use");
	expect_eq(version(other),
		  under_pkvm() || in_vm() ? FFA_VERSION_1_1 : VERSION_REFUSED,
		  "FFA_VERSION(0x%x) after use", other);
	expect_eq(version(FFA_PACK_VERSION_INFO(2, 0)), VERSION_REFUSED,
		  "FFA_VERSION(2.0) after use");
	expect_success(ffa_call(FFA_ID_GET), "FFA_ID_GET after refused versions");
}

void version_negotiation(void)
{
	/* pKVM refuses all calls before FFA_VERSION. The SPMD would answer. */
	bool closed = under_pkvm() && first_in_boot();
	int cpu, i;

	if (closed)
		expect_error(ffa_call(FFA_ID_GET), FFA_RET_INVALID_PARAMETERS,
			     "FFA_ID_GET before FFA_VERSION");

	/* Through pKVM these are answered by pKVM. */
	expect_eq(version(FFA_PACK_VERSION_INFO(2, 0)), VERSION_REFUSED,
		  "FFA_VERSION(2.0)");
	expect_eq(version(FFA_PACK_VERSION_INFO(0, 9)), VERSION_REFUSED,
		  "FFA_VERSION(0.9)");
	expect_eq(version(FFA_PACK_VERSION_INFO(0x7fff, 0)), VERSION_REFUSED,
		  "FFA_VERSION(32767.0)");
	if (closed)
		expect_error(ffa_call(FFA_ID_GET), FFA_RET_INVALID_PARAMETERS,
			     "FFA_ID_GET after refused versions");

	/*
	 * pKVM speaks 1.1 to the SPMC and answers a newer minor version with
	 * that. Before it answers, it checks FFA_ID_GET and
	 * FFA_FEATURES(FFA_RXTX_MAP), so this needs a working SPMC.
	 */
	expect_eq(version(FFA_VERSION_1_2), version_there(),
		  "FFA_VERSION(1.2)");
	/* Until another call is made it is the last one that counts. */
	expect_eq(version(FFA_VERSION_1_1), version_there(),
		  "FFA_VERSION(1.1)");
	expect_eq(version(host_version()), version_there(),
		  "FFA_VERSION(0x%x)", host_version());
	if (!expect_success(ffa_call(FFA_ID_GET), "FFA_ID_GET after FFA_VERSION"))
		return;

	version_after_use();

	/* Negotiated once for the whole endpoint, not for a CPU. */
	for_each_online_cpu(cpu)
		run_on_cpu(cpu, version_on_this_cpu, NULL);

	for (i = 0; i < PARTITION_COUNT; i++)
		version_of_partition(&partitions[i]);
}

static void ids_on_this_cpu(void *unused)
{
	int cpu = smp_processor_id();
	struct ffa_regs reply;

	reply = ffa_call(FFA_ID_GET);
	if (expect_success(reply, "FFA_ID_GET on CPU %d", cpu))
		expect_eq((u32)reply.x[2], HOST_ID, "own id on CPU %d", cpu);

	reply = ffa_call(FFA_SPM_ID_GET);
	if (expect_success(reply, "FFA_SPM_ID_GET on CPU %d", cpu))
		expect_eq((u32)reply.x[2], SPMC_ID, "SPMC's id on CPU %d", cpu);
}

void ids(void)
{
	struct ffa_regs reply;
	int cpu, i;

	for_each_online_cpu(cpu)
		run_on_cpu(cpu, ids_on_this_cpu, NULL);

	/* The same calls, made by each partition. */
	for (i = 0; i < PARTITION_COUNT; i++) {
		const struct partition *sp = &partitions[i];

		if (!ask(&reply, sp, CMD_IDENTITY))
			continue;
		expect_eq(reply.x[4], sp->id, "id that %s sees", sp->name);
		expect_eq(reply.x[5], SPMC_ID, "SPMC's id that %s sees", sp->name);

		if (ask(&reply, sp, CMD_RAW, FFA_ID_GET)) {
			expect_eq((u32)reply.x[4], FFA_SUCCESS,
				  "FFA_ID_GET from %s", sp->name);
			expect_eq((u32)reply.x[6], sp->id,
				  "w2 of FFA_ID_GET from %s", sp->name);
		}
		if (ask(&reply, sp, CMD_RAW, FFA_SPM_ID_GET)) {
			expect_eq((u32)reply.x[4], FFA_SUCCESS,
				  "FFA_SPM_ID_GET from %s", sp->name);
			expect_eq((u32)reply.x[6], SPMC_ID,
				  "w2 of FFA_SPM_ID_GET from %s", sp->name);
		}
	}
}

struct feature {
	u32 id;
	u32 input;
	const char *what;
};

/* The SPMC's answers to a hypervisor or OS since FF-A 1.1. */
static const struct feature host_has[] = {
	{ FFA_ERROR, 0, "FFA_ERROR" },
	{ FFA_SUCCESS, 0, "FFA_SUCCESS" },
	{ FFA_INTERRUPT, 0, "FFA_INTERRUPT" },
	{ FFA_VERSION, 0, "FFA_VERSION" },
	{ FFA_FEATURES, 0, "FFA_FEATURES" },
	{ FFA_RX_RELEASE, 0, "FFA_RX_RELEASE" },
	{ FFA_FN64_RXTX_MAP, 0, "FFA_RXTX_MAP (64-bit)" },
	{ FFA_RXTX_UNMAP, 0, "FFA_RXTX_UNMAP" },
	{ FFA_PARTITION_INFO_GET, 0, "FFA_PARTITION_INFO_GET" },
	{ FFA_ID_GET, 0, "FFA_ID_GET" },
	{ FFA_SPM_ID_GET, 0, "FFA_SPM_ID_GET" },
	{ FFA_RUN, 0, "FFA_RUN" },
	{ FFA_MSG_SEND_DIRECT_REQ, 0, "FFA_MSG_SEND_DIRECT_REQ (32-bit)" },
	{ FFA_FN64_MSG_SEND_DIRECT_REQ, 0, "FFA_MSG_SEND_DIRECT_REQ (64-bit)" },
	{ FFA_NOTIFICATION_BITMAP_CREATE, 0, "FFA_NOTIFICATION_BITMAP_CREATE" },
	{ FFA_NOTIFICATION_BITMAP_DESTROY, 0,
	  "FFA_NOTIFICATION_BITMAP_DESTROY" },
	{ FFA_NOTIFICATION_BIND, 0, "FFA_NOTIFICATION_BIND" },
	{ FFA_NOTIFICATION_UNBIND, 0, "FFA_NOTIFICATION_UNBIND" },
	{ FFA_NOTIFICATION_SET, 0, "FFA_NOTIFICATION_SET" },
	{ FFA_NOTIFICATION_GET, 0, "FFA_NOTIFICATION_GET" },
	{ FFA_NOTIFICATION_INFO_GET, 0,
	  "FFA_NOTIFICATION_INFO_GET (32-bit)" },
	{ FFA_FN64_NOTIFICATION_INFO_GET, 0,
	  "FFA_NOTIFICATION_INFO_GET (64-bit)" },
	{ FFA_RX_ACQUIRE, 0, "FFA_RX_ACQUIRE" },
	{ FFA_MSG_SEND2, 0, "FFA_MSG_SEND2" },
	{ FFA_FEATURE_SRI, 0, "schedule receiver interrupt" },
};

static const struct feature host_lacks[] = {
	/* Only partitions make these. */
	{ FFA_YIELD, 0, "FFA_YIELD" },
	{ FFA_FN64_SECONDARY_EP_REGISTER, 0, "FFA_SECONDARY_EP_REGISTER" },
	{ FFA_MEM_PERM_GET, 0, "FFA_MEM_PERM_GET" },
	{ FFA_MEM_PERM_SET, 0, "FFA_MEM_PERM_SET" },
	{ FFA_FEATURE_NPI, 0, "notification pending interrupt" },
	{ FFA_FEATURE_MEI, 0, "managed exit interrupt" },
	{ FFA_CONSOLE_LOG, 0, "FFA_CONSOLE_LOG" },
	/* Between the SPMC and EL3. */
	{ FFA_NORMAL_WORLD_RESUME, 0, "FFA_NORMAL_WORLD_RESUME" },
	{ FFA_EL3_INTR_HANDLE, 0, "FFA_EL3_INTR_HANDLE" },
	/* Nobody's. */
	{ FFA_SMC_64(0x63), 0, "a 64-bit FFA_VERSION" },
	{ FFA_SMC_32(0x5f), 0, "a function below FF-A's range" },
	{ FFA_SMC_32(0x98), 0, "a function above FF-A's range" },
	{ 0xffffffff, 0, "function 0xffffffff" },
	{ 0, 0, "feature 0" },
	{ 5, 0, "feature 5" },
	{ 0xff, 0, "feature 255" },
	{ 0x100 | FFA_FEATURE_SRI, 0, "a feature with reserved bit 8 set" },
	{ BIT(30), 0, "a feature with reserved bit 30 set" },
};

/* For who speaks 1.2. */
static const struct feature since_1_2[] = {
	{ FFA_PARTITION_INFO_GET_REGS, 0, "FFA_PARTITION_INFO_GET_REGS" },
	{ FFA_MSG_SEND_DIRECT_REQ2, 0, "FFA_MSG_SEND_DIRECT_REQ2" },
	{ FFA_MSG_SEND_DIRECT_RESP2, 0, "FFA_MSG_SEND_DIRECT_RESP2" },
};

/* Questions with properties that the call does not have. */
static const struct feature malformed[] = {
	{ FFA_ID_GET, 1, "FFA_ID_GET with an input property" },
	{ FFA_NOTIFICATION_SET, 1, "FFA_NOTIFICATION_SET with an input property" },
	{ FFA_FN64_RXTX_MAP, BIT(31), "FFA_RXTX_MAP with an input property" },
};

/* pKVM answers these itself: it has no way to serve them. */
static const struct feature pkvm_lacks[] = {
	{ FFA_RXTX_MAP, 0, "FFA_RXTX_MAP (32-bit)" },
	{ FFA_MSG_WAIT, 0, "FFA_MSG_WAIT" },
	{ FFA_MSG_SEND, 0, "FFA_MSG_SEND" },
	{ FFA_MSG_POLL, 0, "FFA_MSG_POLL" },
	{ FFA_MSG_SEND_DIRECT_RESP, 0, "FFA_MSG_SEND_DIRECT_RESP (32-bit)" },
	{ FFA_MEM_DONATE, 0, "FFA_MEM_DONATE (32-bit)" },
	{ FFA_FN64_MEM_DONATE, 0, "FFA_MEM_DONATE (64-bit)" },
	{ FFA_MEM_RETRIEVE_REQ, 0, "FFA_MEM_RETRIEVE_REQ (32-bit)" },
	{ FFA_FN64_MEM_RETRIEVE_REQ, 0, "FFA_MEM_RETRIEVE_REQ (64-bit)" },
	{ FFA_MEM_RELINQUISH, 0, "FFA_MEM_RELINQUISH" },
	{ FFA_MEM_FRAG_RX, 0, "FFA_MEM_FRAG_RX" },
	{ FFA_MEM_OP_PAUSE, 0, "FFA_MEM_OP_PAUSE" },
	{ FFA_MEM_OP_RESUME, 0, "FFA_MEM_OP_RESUME" },
};

/* The SPMC's answers to any S-EL1 partition. */
static const struct feature partition_has[] = {
	{ FFA_VERSION, 0, "FFA_VERSION" },
	{ FFA_FEATURES, 0, "FFA_FEATURES" },
	{ FFA_FN64_RXTX_MAP, 0, "FFA_RXTX_MAP (64-bit)" },
	{ FFA_RXTX_UNMAP, 0, "FFA_RXTX_UNMAP" },
	{ FFA_RX_RELEASE, 0, "FFA_RX_RELEASE" },
	{ FFA_PARTITION_INFO_GET, 0, "FFA_PARTITION_INFO_GET" },
	{ FFA_ID_GET, 0, "FFA_ID_GET" },
	{ FFA_SPM_ID_GET, 0, "FFA_SPM_ID_GET" },
	{ FFA_MSG_WAIT, 0, "FFA_MSG_WAIT" },
	{ FFA_MSG_SEND_DIRECT_REQ, 0, "FFA_MSG_SEND_DIRECT_REQ (32-bit)" },
	{ FFA_FN64_MSG_SEND_DIRECT_REQ, 0, "FFA_MSG_SEND_DIRECT_REQ (64-bit)" },
	{ FFA_MSG_SEND_DIRECT_RESP, 0, "FFA_MSG_SEND_DIRECT_RESP (32-bit)" },
	{ FFA_FN64_MSG_SEND_DIRECT_RESP, 0, "FFA_MSG_SEND_DIRECT_RESP (64-bit)" },
	{ FFA_NOTIFICATION_BIND, 0, "FFA_NOTIFICATION_BIND" },
	{ FFA_NOTIFICATION_UNBIND, 0, "FFA_NOTIFICATION_UNBIND" },
	{ FFA_NOTIFICATION_SET, 0, "FFA_NOTIFICATION_SET" },
	{ FFA_NOTIFICATION_GET, 0, "FFA_NOTIFICATION_GET" },
	{ FFA_MSG_SEND2, 0, "FFA_MSG_SEND2" },
	{ FFA_FEATURE_NPI, 0, "notification pending interrupt" },
	{ FFA_CONSOLE_LOG, 0, "FFA_CONSOLE_LOG (32-bit)" },
	{ FFA_SMC_64(0x8a), 0, "FFA_CONSOLE_LOG (64-bit)" },
};

static const struct feature partition_lacks[] = {
	/* Only the normal world makes these. */
	{ FFA_RX_ACQUIRE, 0, "FFA_RX_ACQUIRE" },
	{ FFA_NOTIFICATION_BITMAP_CREATE, 0, "FFA_NOTIFICATION_BITMAP_CREATE" },
	{ FFA_FN64_NOTIFICATION_INFO_GET, 0, "FFA_NOTIFICATION_INFO_GET" },
	{ FFA_FEATURE_SRI, 0, "schedule receiver interrupt" },
	/* Only S-EL0 partitions set permissions through the SPMC. */
	{ FFA_MEM_PERM_GET, 0, "FFA_MEM_PERM_GET" },
	{ FFA_MEM_PERM_SET, 0, "FFA_MEM_PERM_SET" },
	{ FFA_MSG_POLL, 0, "FFA_MSG_POLL" },
	{ 0xffffffff, 0, "function 0xffffffff" },
	{ 0, 0, "feature 0" },
};

static struct ffa_regs host_feature(const struct feature *feature)
{
	return ffa_call(FFA_FEATURES, feature->id, feature->input);
}

static void features_of_host(void)
{
	struct ffa_regs reply;
	u32 largest;
	int i;

	for (i = 0; i < ARRAY_SIZE(host_has); i++)
		expect_success(host_feature(&host_has[i]), "host asks for %s",
			       host_has[i].what);
	for (i = 0; i < ARRAY_SIZE(host_lacks); i++)
		expect_error(host_feature(&host_lacks[i]),
			     FFA_RET_NOT_SUPPORTED, "host asks for %s",
			     host_lacks[i].what);
	for (i = 0; i < ARRAY_SIZE(malformed); i++)
		expect_error(host_feature(&malformed[i]),
			     FFA_RET_INVALID_PARAMETERS, "host asks for %s",
			     malformed[i].what);

	for (i = 0; i < ARRAY_SIZE(since_1_2); i++) {
		reply = host_feature(&since_1_2[i]);
		if (host_version() >= FFA_VERSION_1_2)
			expect_success(reply, "host asks for %s",
				       since_1_2[i].what);
		else
			expect_error(reply, FFA_RET_NOT_SUPPORTED,
				     "host asks for %s", since_1_2[i].what);
	}

	reply = ffa_call(FFA_FEATURES, FFA_FEATURE_SRI);
	expect_eq((u32)reply.x[2], SRI_INTID,
		  "number of the schedule receiver interrupt");

	/*
	 * 4 KiB buffers are enough. pKVM takes w2 as a whole, and bits 31:16,
	 * the largest buffer in pages, are not for a caller at 1.1.
	 */
	largest = host_version() >= FFA_VERSION_1_2 ? MAX_BUFFER_PAGES : 0;
	reply = ffa_call(FFA_FEATURES, FFA_FN64_RXTX_MAP);
	expect_eq((u32)reply.x[2], largest << 16 | FFA_FEAT_RXTX_MIN_SZ_4K,
		  "w2 of FFA_FEATURES(FFA_RXTX_MAP)");

	if (!under_pkvm())
		return;
	for (i = 0; i < ARRAY_SIZE(pkvm_lacks); i++)
		expect_error(host_feature(&pkvm_lacks[i]),
			     FFA_RET_NOT_SUPPORTED, "host asks for %s",
			     pkvm_lacks[i].what);
}

/* FFA_FEATURES made by a partition: 0 or the error code. */
static int partition_feature(const struct partition *sp, u32 id, u32 input)
{
	struct ffa_regs reply;

	/* A number that no answer has. */
	if (!ask(&reply, sp, CMD_FEATURES, id, input))
		return S32_MAX;
	return (int)reply.x[4];
}

static void features_of_partition(const struct partition *sp)
{
	struct ffa_regs reply;
	int i;

	for (i = 0; i < ARRAY_SIZE(partition_has); i++)
		expect_eq(partition_feature(sp, partition_has[i].id, 0), 0,
			  "%s asks for %s", sp->name, partition_has[i].what);
	for (i = 0; i < ARRAY_SIZE(partition_lacks); i++)
		expect_eq((u32)partition_feature(sp, partition_lacks[i].id, 0),
			  (u32)FFA_RET_NOT_SUPPORTED, "%s asks for %s",
			  sp->name, partition_lacks[i].what);
	for (i = 0; i < ARRAY_SIZE(malformed); i++)
		expect_eq((u32)partition_feature(sp, malformed[i].id,
						 malformed[i].input),
			  (u32)FFA_RET_INVALID_PARAMETERS, "%s asks for %s",
			  sp->name, malformed[i].what);

	for (i = 0; i < ARRAY_SIZE(since_1_2); i++)
		expect_eq((u32)partition_feature(sp, since_1_2[i].id, 0),
			  sp->version >= FFA_VERSION_1_2 ?
				  0 : (u32)FFA_RET_NOT_SUPPORTED,
			  "%s asks for %s", sp->name, since_1_2[i].what);

	/* Only a partition with several contexts has a secondary entry. */
	expect_eq((u32)partition_feature(sp, FFA_FN64_SECONDARY_EP_REGISTER, 0),
		  sp->contexts > 1 ? 0 : (u32)FFA_RET_NOT_SUPPORTED,
		  "%s asks for FFA_SECONDARY_EP_REGISTER", sp->name);

	/* Only a partition that is asked for a managed exit has its interrupt. */
	expect_eq((u32)partition_feature(sp, FFA_FEATURE_MEI, 0),
		  sp->id == IRQ_ID ? 0 : (u32)FFA_RET_NOT_SUPPORTED,
		  "%s asks for the managed exit interrupt", sp->name);

	/* What is offered works: the other calls are in other scenarios. */
	if (ask(&reply, sp, CMD_LOG))
		expect_eq((u32)reply.x[4], 0, "FFA_CONSOLE_LOG from %s",
			  sp->name);
}

void features(void)
{
	int i;

	features_of_host();
	for (i = 0; i < PARTITION_COUNT; i++)
		features_of_partition(&partitions[i]);
}

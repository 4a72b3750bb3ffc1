// SPDX-License-Identifier: GPL-2.0
/* Notifications: partitions to the host, the host to partitions, and between partitions. */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/irqdomain.h>
#include <linux/kernel.h>
#include <linux/of.h>
#include <linux/of_irq.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "harness.h"
#include "notify.h"
#include "protocol.h"
#include "scenarios.h"

/*
 * Refusals are many in one function, so what comes back is a code and not a set
 * of registers on its stack: 0, or the error.
 */
static noinline int code_of(u64 x0, u64 x1, u64 x2, u64 x3, u64 x4)
{
	struct ffa_regs reply = ffa_call(x0, x1, x2, x3, x4);

	if (ffa_is_error(&reply))
		return (int)reply.x[2];
	/* A number that no answer has. */
	return (u32)reply.x[0] == FFA_SUCCESS ||
		       (u32)reply.x[0] == FFA_FN64_SUCCESS ?
		       0 : S32_MAX;
}

int bitmap_create(u16 id, u32 vcpus)
{
	return code_of(FFA_NOTIFICATION_BITMAP_CREATE, id, vcpus, 0, 0);
}

int bitmap_destroy(u16 id)
{
	return code_of(FFA_NOTIFICATION_BITMAP_DESTROY, id, 0, 0, 0);
}

int notification_bind(u16 sender, u16 receiver, u32 flags, u64 bitmap)
{
	return code_of(FFA_NOTIFICATION_BIND, ffa_route(sender, receiver),
		       flags, (u32)bitmap, bitmap >> 32);
}

int notification_unbind(u16 sender, u16 receiver, u64 bitmap)
{
	return code_of(FFA_NOTIFICATION_UNBIND, ffa_route(sender, receiver), 0,
		       (u32)bitmap, bitmap >> 32);
}

int notification_set(u16 sender, u16 receiver, u32 flags, u64 bitmap)
{
	return code_of(FFA_NOTIFICATION_SET, ffa_route(sender, receiver), flags,
		       (u32)bitmap, bitmap >> 32);
}

static int notification_get_code(u16 receiver, u16 vcpu, u32 flags)
{
	return code_of(FFA_NOTIFICATION_GET, ffa_route(vcpu, receiver), flags,
		       0, 0);
}

int notification_info_code(void)
{
	return code_of(FFA_FN64_NOTIFICATION_INFO_GET, 0, 0, 0, 0);
}

noinline struct ffa_regs notification_get(u16 receiver, u16 vcpu, u32 flags)
{
	return ffa_call(FFA_NOTIFICATION_GET, ffa_route(vcpu, receiver), flags);
}

noinline struct ffa_regs notification_info_get(void)
{
	return ffa_call(FFA_FN64_NOTIFICATION_INFO_GET);
}

/* What partitions have signalled to a vCPU of the host, which is cleared. */
static noinline u64 take_notifications(u16 vcpu, const char *what)
{
	struct ffa_regs reply = notification_get(HOST_ID, vcpu, GET_FROM_SPS);

	if (!expect_success(reply, "FFA_NOTIFICATION_GET %s", what))
		return 0;
	expect_eq(reply.x[4] | reply.x[5] | reply.x[6] | reply.x[7], 0,
		  "what was not asked for %s", what);
	return (u32)reply.x[2] | (u64)(u32)reply.x[3] << 32;
}

/* The error code, or 0, of what a partition is told to do. */
noinline int partition_code(const struct partition *sp, u64 command, u64 ids, u64 flags,
		   u64 bitmap)
{
	struct ffa_regs reply;

	/* A number that no answer has. */
	if (!ask(&reply, sp, command, ids, flags, bitmap))
		return S32_MAX;
	return (int)reply.x[4];
}

#define expect_code(sp, command, ids, flags, bitmap, code, ...)             \
	expect_eq((u32)partition_code(sp, command, ids, flags, bitmap),     \
		  (u32)(code), __VA_ARGS__)

#define expect_done(code, ...) expect_eq((u32)(code), 0, __VA_ARGS__)
#define expect_refused(code, error, ...) \
	expect_eq((u32)(code), (u32)(error), __VA_ARGS__)

static const struct partition *const echo = &partitions[0];
static const struct partition *const irq = &partitions[1];
static const struct partition *const relay = &partitions[2];

/* What a callback of Linux's driver saw. */
struct seen {
	struct completion done;
	atomic_t calls;
	int id;
	int cpu;
};

static void notified(int id, void *data)
{
	struct seen *seen = data;

	seen->id = id;
	seen->cpu = raw_smp_processor_id();
	atomic_inc(&seen->calls);
	complete(&seen->done);
}

static void scheduled(u16 vcpu, bool is_per_vcpu, void *data)
{
	struct seen *seen = data;

	seen->id = is_per_vcpu ? vcpu : -1;
	seen->cpu = raw_smp_processor_id();
	atomic_inc(&seen->calls);
	complete(&seen->done);
}

static void forget(struct seen *seen)
{
	init_completion(&seen->done);
	atomic_set(&seen->calls, 0);
	seen->id = -1;
	seen->cpu = -1;
}

static int find_device(struct device *dev, void *data)
{
	struct ffa_device *device = to_ffa_dev(dev);
	struct ffa_device **found = data;

	/* The bus gives the id of the partition that is looked for in *found. */
	if (device->vm_id != (u16)(unsigned long)found[1])
		return 0;
	found[0] = device;
	return 1;
}

static struct ffa_device *device_of(const struct partition *sp)
{
	struct ffa_device *found[2] = { NULL, (void *)(unsigned long)sp->id };

	bus_for_each_dev(&ffa_bus_type, NULL, found, find_device);
	expect_true(found[0], "%s has a device on the bus", sp->name);
	return found[0];
}

struct local {
	u32 flags;
	struct seen seen;
};

#define HOST_BIT	5

static long do_nothing(void *unused)
{
	return 0;
}

/*
 * The driver has one piece of work for all CPUs, and the kernel queues work that
 * still runs where it runs. So it has to be over before another CPU's turn: what
 * is queued behind it on this CPU is done after it.
 */
static void wait_for_driver(void)
{
	work_on_cpu(smp_processor_id(), do_nothing, NULL);
}

/* echo's context on this CPU signals; the driver is interrupted on this CPU. */
static void signal_from_here(void *argument)
{
	struct local *local = argument;
	int cpu = smp_processor_id();

	forget(&local->seen);
	if (!expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID),
			 local->flags, BIT(HOST_BIT), 0,
			 "echo signals on CPU %d with flags %u", cpu,
			 local->flags))
		return;
	wait_for_completion(&local->seen.done);
	expect_eq(local->seen.id, HOST_BIT, "notification on CPU %d", cpu);
	expect_eq(local->seen.cpu, cpu,
		  "CPU of the schedule receiver interrupt, flags %u",
		  local->flags);
	wait_for_driver();
	expect_eq(atomic_read(&local->seen.calls), 1,
		  "callbacks for a notification on CPU %d", cpu);
}

/* By Linux's driver: its bitmaps, its interrupt, its callbacks. */
static void notify_host_by_driver(void)
{
	static struct local local;
	const struct ffa_notifier_ops *ops;
	struct ffa_device *echo_device, *irq_device;
	int cpu;

	if (!expect_eq(driver_load(), 0, "loading Linux's driver"))
		return;
	echo_device = device_of(echo);
	irq_device = device_of(irq);
	if (!echo_device || !irq_device)
		return;
	expect_true(ffa_partition_supports_notify_recv(echo_device),
		    "echo receives notifications");
	expect_true(ffa_partition_supports_indirect_msg(echo_device),
		    "echo takes indirect messages");
	ops = echo_device->ops->notifier_ops;

	forget(&local.seen);
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0,
		    BIT(HOST_BIT), FFA_RET_DENIED,
		    "echo signals what nobody has bound");
	if (!expect_eq(ops->notify_request(echo_device, false, notified,
					   &local.seen, HOST_BIT),
		       0, "binding a notification to echo"))
		return;
	/* Bound once. Linux turns DENIED into EACCES. */
	expect_eq(ops->notify_request(irq_device, false, notified, &local.seen,
				      HOST_BIT),
		  -EACCES, "binding it to irq as well");
	expect_code(irq, CMD_NOTIFY_SET, ffa_route(IRQ_ID, HOST_ID), 0,
		    BIT(HOST_BIT), FFA_RET_DENIED, "irq signals echo's");
	expect_eq(atomic_read(&local.seen.calls), 0, "callbacks so far");

	/* At once, while echo still runs; and when the CPU is Linux's again. */
	for_each_online_cpu(cpu) {
		local.flags = 0;
		run_on_cpu(cpu, signal_from_here, &local);
		local.flags = NOTIFICATION_DELAY_SRI;
		run_on_cpu(cpu, signal_from_here, &local);
	}

	expect_eq(ops->notify_relinquish(echo_device, HOST_BIT), 0,
		  "taking the notification from echo");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0,
		    BIT(HOST_BIT), FFA_RET_DENIED,
		    "echo signals what is no longer bound");
	expect_true(ops->notify_relinquish(echo_device, HOST_BIT) != 0,
		    "taking it twice");
}

/* The flags of an INFO_GET answer: how many lists, how many ids are in each. */
static noinline void expect_listed(u64 lists, u64 sizes, u64 ids,
				   const char *what)
{
	struct ffa_regs reply = notification_info_get();

	if (!expect_success(reply, "FFA_NOTIFICATION_INFO_GET %s", what))
		return;
	expect_eq(reply.x[2], lists << 7 | sizes << 12, "flags of the list %s",
		  what);
	expect_eq(reply.x[3], ids, "ids in the list %s", what);
}

/*
 * Where Linux's driver cannot be, this module takes the schedule receiver
 * interrupt itself, on every CPU.
 */
static DEFINE_PER_CPU(struct seen *, interrupted);

static irqreturn_t on_sri(int irq, void *data)
{
	struct seen **seen = data;

	if (*seen)
		notified(irq, *seen);
	return IRQ_HANDLED;
}

static void enable_here(void *irq)
{
	/* What was raised while nobody listened is not for now. */
	irq_set_irqchip_state(*(unsigned int *)irq, IRQCHIP_STATE_PENDING, false);
	enable_percpu_irq(*(unsigned int *)irq, IRQ_TYPE_NONE);
}

static void disable_here(void *irq)
{
	disable_percpu_irq(*(unsigned int *)irq);
}

/* Returns Linux's number of the interrupt, or 0. */
static unsigned int sri_take(struct seen *seen)
{
	struct of_phandle_args sgi = { .args_count = 1, .args = { SRI_INTID } };
	unsigned int irq;
	int cpu;

	sgi.np = of_find_compatible_node(NULL, NULL, "arm,gic-v3");
	irq = irq_create_of_mapping(&sgi);
	of_node_put(sgi.np);
	if (!expect_true(irq, "the schedule receiver interrupt is an SGI of Linux's"))
		return 0;
	for_each_possible_cpu(cpu)
		per_cpu(interrupted, cpu) = seen;
	if (!expect_eq(request_percpu_irq(irq, on_sri, "tantalum-sri", &interrupted),
		       0, "taking the schedule receiver interrupt"))
		return 0;
	on_each_cpu(enable_here, &irq, true);
	return irq;
}

static void sri_give_back(unsigned int irq)
{
	on_each_cpu(disable_here, &irq, true);
	free_percpu_irq(irq, &interrupted);
	irq_dispose_mapping(irq);
}

/* echo's context on this CPU signals; this module is interrupted on this CPU. */
static void signal_and_list_here(void *argument)
{
	struct local *local = argument;
	int cpu = smp_processor_id();

	forget(&local->seen);
	if (!expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID),
			 local->flags, BIT(HOST_BIT), 0,
			 "echo signals on CPU %d with flags %u", cpu,
			 local->flags))
		return;
	wait_for_completion(&local->seen.done);
	expect_eq(local->seen.cpu, cpu,
		  "CPU of the schedule receiver interrupt, flags %u",
		  local->flags);
	expect_eq(atomic_read(&local->seen.calls), 1,
		  "schedule receiver interrupts on CPU %d", cpu);
	expect_listed(1, 0, HOST_ID, "after the interrupt");
	expect_eq(take_notifications(cpu, "after the interrupt"), BIT(HOST_BIT),
		  "notifications on CPU %d", cpu);
}

static void notify_host_by_interrupt(void)
{
	static struct local local;
	unsigned int irq;
	int cpu;

	expect_no_driver();
	if (!expect_done(bitmap_create(HOST_ID, CPU_COUNT),
			 "FFA_NOTIFICATION_BITMAP_CREATE") ||
	    !expect_done(notification_bind(ECHO_ID, HOST_ID, 0, BIT(HOST_BIT)),
			 "binding a notification to echo"))
		return;
	forget(&local.seen);
	irq = sri_take(&local.seen);
	if (irq) {
		for_each_online_cpu(cpu) {
			local.flags = 0;
			run_on_cpu(cpu, signal_and_list_here, &local);
			local.flags = NOTIFICATION_DELAY_SRI;
			run_on_cpu(cpu, signal_and_list_here, &local);
		}
		sri_give_back(irq);
	}
	expect_done(notification_unbind(ECHO_ID, HOST_ID, BIT(HOST_BIT)),
		    "taking the notification from echo");
	expect_done(bitmap_destroy(HOST_ID), "FFA_NOTIFICATION_BITMAP_DESTROY");
}

static void notify_host_raw(void)
{
	struct ffa_regs reply;

	expect_refused(bitmap_create(ECHO_ID, 4), FFA_RET_INVALID_PARAMETERS,
		     "bitmaps for a partition");
	expect_refused(bitmap_create(HOST_ID, 0), FFA_RET_INVALID_PARAMETERS,
		     "bitmaps for no vCPU");
	expect_refused(bitmap_create(HOST_ID, 9), FFA_RET_INVALID_PARAMETERS,
		     "bitmaps for nine vCPUs");
	expect_refused(bitmap_destroy(HOST_ID), FFA_RET_DENIED,
		     "destroying bitmaps that are not there");
	expect_refused(bitmap_destroy(ECHO_ID), FFA_RET_INVALID_PARAMETERS,
		     "destroying bitmaps of a partition");
	expect_refused(notification_bind(ECHO_ID, HOST_ID, 0, 1), FFA_RET_DENIED,
		     "binding without bitmaps");
	expect_refused(notification_get_code(HOST_ID, 0, GET_FROM_SPS),
		     FFA_RET_INVALID_PARAMETERS, "reading without bitmaps");
	expect_refused(notification_info_code(), FFA_RET_NO_DATA,
		     "a list of nobody");

	if (!expect_done(bitmap_create(HOST_ID, CPU_COUNT),
			    "FFA_NOTIFICATION_BITMAP_CREATE"))
		return;
	expect_refused(bitmap_create(HOST_ID, CPU_COUNT), FFA_RET_DENIED,
		     "a second FFA_NOTIFICATION_BITMAP_CREATE");

	expect_refused(notification_bind(ECHO_ID, HOST_ID, 0, 0),
		     FFA_RET_INVALID_PARAMETERS, "binding no notification");
	expect_refused(notification_bind(ECHO_ID, HOST_ID, 2, 1),
		     FFA_RET_INVALID_PARAMETERS, "binding with a reserved flag");
	expect_refused(notification_bind(ECHO_ID, RELAY_ID, 0, 1),
		     FFA_RET_INVALID_PARAMETERS,
		     "binding in the name of a partition");
	expect_refused(notification_bind(ABSENT_SP_ID, HOST_ID, 0, 1),
		     FFA_RET_INVALID_PARAMETERS,
		     "binding to a partition that is not there");
	expect_refused(notification_bind(HOST_ID, HOST_ID, 0, 1),
		     FFA_RET_INVALID_PARAMETERS, "binding to the host itself");
	expect_done(notification_bind(ECHO_ID, HOST_ID, 0,
					 BIT_ULL(63) | BIT(0)),
		       "binding two notifications to echo");
	expect_done(notification_bind(ECHO_ID, HOST_ID, 1, BIT(1)),
		       "binding one for single vCPUs");
	expect_refused(notification_bind(IRQ_ID, HOST_ID, 0, BIT(1) | BIT(2)),
		     FFA_RET_DENIED, "binding one of them to irq");
	expect_refused(notification_unbind(IRQ_ID, HOST_ID, BIT(0)),
		     FFA_RET_DENIED, "taking from irq what it does not have");

	/* In another's name, to nobody, with the wrong scope. */
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(IRQ_ID, HOST_ID), 0, BIT(0),
		    FFA_RET_INVALID_PARAMETERS, "echo signals as irq");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0, 0,
		    FFA_RET_INVALID_PARAMETERS, "echo signals nothing");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, ABSENT_VM_ID), 0,
		    BIT(0), FFA_RET_DENIED, "echo signals to an absent VM");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID),
		    NOTIFICATION_FOR_VCPU(2), BIT(0),
		    FFA_RET_INVALID_PARAMETERS,
		    "echo signals a global one to a vCPU");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0, BIT(1),
		    FFA_RET_INVALID_PARAMETERS,
		    "echo signals one of a vCPU to all");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID),
		    NOTIFICATION_FOR_VCPU(CPU_COUNT), BIT(1),
		    FFA_RET_INVALID_PARAMETERS, "echo signals to vCPU %d",
		    CPU_COUNT);
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 4, BIT(0),
		    FFA_RET_INVALID_PARAMETERS,
		    "echo signals with a reserved flag");
	expect_refused(notification_info_code(), FFA_RET_NO_DATA,
		     "a list after refused signals");

	/* Signalled, listed once, read once. */
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0,
		    BIT_ULL(63), 0, "echo signals");
	expect_listed(1, 0, HOST_ID, "of the host");
	expect_refused(notification_info_code(), FFA_RET_NO_DATA, "a second list");
	expect_refused(notification_unbind(ECHO_ID, HOST_ID, BIT_ULL(63)),
		     FFA_RET_DENIED, "taking a pending notification");
	expect_refused(bitmap_destroy(HOST_ID), FFA_RET_DENIED,
		     "destroying bitmaps with something in them");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0, BIT(0),
		    0, "echo signals another");
	expect_listed(1, 0, HOST_ID, "of news");
	expect_eq(take_notifications(1, "of both"), BIT_ULL(63) | BIT(0),
		  "notifications from echo");
	expect_eq(take_notifications(0, "again"), 0, "notifications left");

	/* For a single vCPU. */
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID),
		    NOTIFICATION_FOR_VCPU(2), BIT(1), 0, "echo signals to vCPU 2");
	expect_listed(1, 1, 2 << 16 | HOST_ID,
		      "of a vCPU");
	expect_eq(take_notifications(1, "of vCPU 1"), 0, "vCPU 1's");
	expect_eq(take_notifications(2, "of vCPU 2"), BIT(1), "vCPU 2's");

	/* The 32-bit form lists the same. */
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, HOST_ID), 0, BIT(0),
		    0, "echo signals once more");
	reply = ffa_call(FFA_NOTIFICATION_INFO_GET);
	expect_eq((u32)reply.x[0], FFA_SUCCESS, "32-bit answer");
	expect_eq(reply.x[2], 1 << 7, "flags of the 32-bit list");
	expect_eq(reply.x[3], HOST_ID, "ids in the 32-bit list");

	expect_refused(notification_get_code(HOST_ID, CPU_COUNT, GET_FROM_SPS),
		     FFA_RET_INVALID_PARAMETERS, "reading of vCPU %d",
		     CPU_COUNT);
	expect_refused(notification_get_code(HOST_ID, 0, GET_FROM_VMS),
		     FFA_RET_INVALID_PARAMETERS, "reading what VMs signal");
	expect_refused(notification_get_code(HOST_ID, 0, GET_FROM_HYPERVISOR),
		     FFA_RET_INVALID_PARAMETERS,
		     "reading what the hypervisor signals");
	expect_refused(notification_get_code(HOST_ID, 0, 0x10),
		     FFA_RET_INVALID_PARAMETERS, "reading with a reserved flag");
	expect_refused(notification_get_code(ECHO_ID, 0, GET_FROM_SPS),
		     FFA_RET_INVALID_PARAMETERS, "reading what is echo's");
	expect_eq(take_notifications(0, "at the end"), BIT(0),
		  "notification that refused reads left alone");

	expect_done(notification_unbind(ECHO_ID, HOST_ID,
					   BIT_ULL(63) | BIT(1) | BIT(0)),
		       "taking all from echo");
	expect_done(bitmap_destroy(HOST_ID),
		       "FFA_NOTIFICATION_BITMAP_DESTROY");
	expect_refused(bitmap_destroy(HOST_ID), FFA_RET_DENIED,
		     "a second FFA_NOTIFICATION_BITMAP_DESTROY");
}

void notify_host(void)
{
	if (driver_is_usable())
		notify_host_by_driver();
	else
		notify_host_by_interrupt();
	if (expect_eq(driver_unload(), 0, "unloading Linux's driver"))
		notify_host_raw();
}

/* What the notification pending interrupt has brought to a partition. */
static void expect_noted(const struct partition *sp, u64 interrupts, u64 sps,
			 u64 vms, u64 spm, const char *what)
{
	struct ffa_regs reply;

	if (!ask(&reply, sp, CMD_NOTIFY_NOTED))
		return;
	expect_eq(reply.x[4], interrupts,
		  "notification pending interrupts of %s %s", sp->name, what);
	expect_eq(reply.x[5], sps, "from partitions to %s %s", sp->name, what);
	expect_eq(reply.x[6], vms, "from the host to %s %s", sp->name, what);
	expect_eq(reply.x[7], spm, "from the SPM to %s %s", sp->name, what);
}

static void notify_context_here(void *unused)
{
	int cpu = smp_processor_id();
	int other = (cpu + 1) % CPU_COUNT;

	expect_done(notification_set(HOST_ID, ECHO_ID,
					NOTIFICATION_FOR_VCPU(other), BIT(2)),
		       "the host signals to echo's context %d", other);
	expect_noted(echo, 0, 0, 0, 0, "on another CPU");
	expect_done(notification_set(HOST_ID, ECHO_ID,
					NOTIFICATION_FOR_VCPU(cpu), BIT(2)),
		       "the host signals to echo's context %d", cpu);
	expect_noted(echo, 1, 0, BIT(2), 0, "on its CPU");
}

static void drain_context_here(void *unused)
{
	expect_noted(echo, 1, 0, BIT(2), 0, "from another CPU");
}

/* From the host to partitions, with the driver told that they have something. */
static void notify_sp_by_driver(void)
{
	static struct seen seen;
	const struct ffa_notifier_ops *ops;
	struct ffa_device *device;

	if (!expect_eq(driver_load(), 0, "loading Linux's driver"))
		return;
	device = device_of(irq);
	if (!device)
		return;
	ops = device->ops->notifier_ops;
	forget(&seen);
	if (!expect_eq(ops->sched_recv_cb_register(device, scheduled, &seen), 0,
		       "registering a scheduler for irq"))
		return;
	expect_eq(ops->notify_send(device, 7, false, 0), -EACCES,
		  "the driver signals what irq has not bound");
	expect_code(irq, CMD_NOTIFY_BIND, ffa_route(HOST_ID, IRQ_ID), 0, BIT(7),
		    0, "irq binds a notification to the host");
	if (expect_eq(ops->notify_send(device, 7, false, 0), 0,
		      "the driver signals")) {
		wait_for_completion(&seen.done);
		expect_eq(atomic_read(&seen.calls), 1,
			  "times that irq was to be scheduled");
		expect_noted(irq, 1, 0, BIT(7), 0, "by the driver");
	}
	expect_code(irq, CMD_NOTIFY_UNBIND, ffa_route(HOST_ID, IRQ_ID), 0,
		    BIT(7), 0, "irq takes it from the host");
	expect_eq(ops->sched_recv_cb_unregister(device), 0,
		  "unregistering the scheduler");
}

/* The same, with this module told. */
static void notify_sp_by_interrupt(void)
{
	static struct seen seen;
	unsigned int interrupt;

	expect_code(irq, CMD_NOTIFY_BIND, ffa_route(HOST_ID, IRQ_ID), 0, BIT(7),
		    0, "irq binds a notification to the host");
	forget(&seen);
	interrupt = sri_take(&seen);
	if (interrupt) {
		expect_done(notification_set(HOST_ID, IRQ_ID, 0, BIT(7)),
			    "the host signals");
		wait_for_completion(&seen.done);
		expect_eq(atomic_read(&seen.calls), 1,
			  "times that irq was to be scheduled");
		expect_listed(1, 0, IRQ_ID, "of whom to schedule");
		expect_noted(irq, 1, 0, BIT(7), 0, "by the host");
		sri_give_back(interrupt);
	}
	expect_code(irq, CMD_NOTIFY_UNBIND, ffa_route(HOST_ID, IRQ_ID), 0,
		    BIT(7), 0, "irq takes it from the host");
}

static noinline void expect_not_for_echo(u32 function, const char *what)
{
	struct ffa_regs reply;

	if (ask(&reply, echo, CMD_RAW, function, 0, CPU_COUNT))
		expect_eq((u32)reply.x[6], (u32)FFA_RET_NOT_SUPPORTED, "%s",
			  what);
}

static void notify_sp_refused(void)
{
	/* echo has bound 0 and 63 to the host, 2 for single contexts, 1 to irq. */
	expect_refused(notification_set(HOST_ID, ECHO_ID, 0, BIT(4)),
		     FFA_RET_DENIED, "the host signals what is not bound");
	expect_refused(notification_set(HOST_ID, ECHO_ID, 0, BIT(4) | BIT(0)),
		     FFA_RET_DENIED, "one that is bound and one that is not");
	expect_refused(notification_set(HOST_ID, ECHO_ID, 0, BIT(1)),
		     FFA_RET_DENIED, "the host signals irq's");
	expect_refused(notification_set(ABSENT_VM_ID, ECHO_ID, 0, BIT(0)),
		     FFA_RET_DENIED, "a VM signals the host's");
	expect_refused(notification_set(IRQ_ID, ECHO_ID, 0, BIT(1)),
		     FFA_RET_INVALID_PARAMETERS, "the host signals as irq");
	expect_refused(notification_set(HOST_ID, HOST_ID, 0, BIT(0)),
		     FFA_RET_INVALID_PARAMETERS, "the host signals to itself");
	expect_refused(notification_set(HOST_ID, ABSENT_SP_ID, 0, BIT(0)),
		     FFA_RET_INVALID_PARAMETERS, "to nobody");
	expect_refused(notification_set(HOST_ID, ECHO_ID, 0, 0),
		     FFA_RET_INVALID_PARAMETERS, "no notification");
	expect_refused(notification_set(HOST_ID, ECHO_ID, NOTIFICATION_DELAY_SRI,
				      BIT(0)),
		     FFA_RET_INVALID_PARAMETERS, "a delay from the host");
	expect_refused(notification_set(HOST_ID, ECHO_ID, 1 << 16, BIT(0)),
		     FFA_RET_INVALID_PARAMETERS, "a context without its flag");
	expect_refused(notification_set(HOST_ID, ECHO_ID,
				      NOTIFICATION_FOR_VCPU(0), BIT(0)),
		     FFA_RET_INVALID_PARAMETERS, "a global one to a context");
	expect_refused(notification_set(HOST_ID, ECHO_ID, 0, BIT(2)),
		     FFA_RET_INVALID_PARAMETERS, "a context's to all");
	expect_refused(notification_set(HOST_ID, ECHO_ID,
				      NOTIFICATION_FOR_VCPU(CPU_COUNT), BIT(2)),
		     FFA_RET_INVALID_PARAMETERS, "context %d", CPU_COUNT);

	/* Of the partition. */
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(ABSENT_VM_ID, ECHO_ID), 0,
		    BIT(0), FFA_RET_DENIED, "echo binds the host's to a VM");
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(RELAY_ID, ECHO_ID), 0,
		    BIT(1), FFA_RET_DENIED, "echo binds irq's to relay");
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(HOST_ID, IRQ_ID), 0, BIT(9),
		    FFA_RET_INVALID_PARAMETERS, "echo binds for irq");
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(ECHO_ID, ECHO_ID), 0, BIT(9),
		    FFA_RET_INVALID_PARAMETERS, "echo binds to itself");
	expect_code(echo, CMD_NOTIFY_UNBIND, ffa_route(IRQ_ID, ECHO_ID), 0,
		    BIT(3), FFA_RET_DENIED, "echo takes what is not bound");
	expect_code(echo, CMD_NOTIFY_SET, ffa_route(ECHO_ID, ECHO_ID), 0, BIT(0),
		    FFA_RET_INVALID_PARAMETERS, "echo signals to itself");
	expect_code(echo, CMD_NOTIFY_GET, ffa_route(0, IRQ_ID), GET_FROM_SPS, 0,
		    FFA_RET_INVALID_PARAMETERS, "echo reads irq's");
	expect_code(echo, CMD_NOTIFY_GET, ffa_route(CPU_COUNT, ECHO_ID),
		    GET_FROM_SPS, 0, FFA_RET_INVALID_PARAMETERS,
		    "echo reads of a context that it does not have");
	/* These are the normal world's. */
	expect_not_for_echo(FFA_NOTIFICATION_BITMAP_CREATE, "FFA_NOTIFICATION_BITMAP_CREATE from echo");
	expect_not_for_echo(FFA_NOTIFICATION_BITMAP_DESTROY, "FFA_NOTIFICATION_BITMAP_DESTROY from echo");
	expect_not_for_echo(FFA_NOTIFICATION_INFO_GET, "FFA_NOTIFICATION_INFO_GET from echo");

	expect_refused(notification_info_code(), FFA_RET_NO_DATA,
		     "a list after refused signals");
	expect_noted(echo, 0, 0, 0, 0, "after refused signals");
}

static void notify_sp_raw(void)
{
	int cpu;

	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(HOST_ID, ECHO_ID), 0,
		    BIT(0) | BIT_ULL(63), 0, "echo binds to the host");
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(HOST_ID, ECHO_ID), 1, BIT(2),
		    0, "echo binds to the host for single contexts");
	expect_code(echo, CMD_NOTIFY_BIND, ffa_route(IRQ_ID, ECHO_ID), 0, BIT(1),
		    0, "echo binds to irq");
	notify_sp_refused();

	/* Once, and one interrupt for two signals. */
	expect_done(notification_set(HOST_ID, ECHO_ID, 0, BIT_ULL(63)),
		       "the host signals");
	expect_listed(1, 0, ECHO_ID, "of echo");
	expect_refused(notification_info_code(), FFA_RET_NO_DATA, "a second list");
	expect_done(notification_set(HOST_ID, ECHO_ID, 0, BIT(0)),
		       "the host signals another");
	expect_noted(echo, 1, 0, BIT_ULL(63) | BIT(0), 0, "after two signals");
	expect_noted(echo, 0, 0, 0, 0, "after it has read them");

	/* It is told when its turn would end, if not before. */
	expect_done(notification_set(HOST_ID, ECHO_ID, 0, BIT_ULL(63)),
		    "the host signals a third time");
	expect_code(echo, CMD_NOTIFY_UNBIND, ffa_route(HOST_ID, ECHO_ID), 0,
		    BIT_ULL(63), FFA_RET_DENIED, "echo takes a pending one");
	expect_noted(echo, 1, 0, BIT_ULL(63), 0, "after a turn");
	expect_refused(notification_info_code(), FFA_RET_NO_DATA,
		     "a list of what has been read");

	/* To the context of each CPU, and to that of another. */
	for_each_online_cpu(cpu) {
		run_on_cpu(cpu, notify_context_here, NULL);
		run_on_cpu((cpu + 1) % CPU_COUNT, drain_context_here, NULL);
	}

	/* Between partitions: the direction is the other one. */
	expect_code(irq, CMD_NOTIFY_SET, ffa_route(IRQ_ID, ECHO_ID),
		    NOTIFICATION_DELAY_SRI, BIT(1), 0, "irq signals to echo");
	expect_noted(echo, 1, BIT(1), 0, 0, "from irq");
	expect_code(relay, CMD_NOTIFY_SET, ffa_route(RELAY_ID, ECHO_ID), 0,
		    BIT(1), FFA_RET_DENIED, "relay signals irq's");

	expect_code(echo, CMD_NOTIFY_UNBIND, ffa_route(HOST_ID, ECHO_ID), 0,
		    BIT(0) | BIT(2) | BIT_ULL(63), 0, "echo takes all back");
	expect_code(echo, CMD_NOTIFY_UNBIND, ffa_route(IRQ_ID, ECHO_ID), 0,
		    BIT(1), 0, "echo takes irq's back");
	/* Those that were listed and never asked for. */
	notification_info_code();
}

void notify_sp(void)
{
	if (driver_is_usable())
		notify_sp_by_driver();
	else
		notify_sp_by_interrupt();
	if (expect_eq(driver_unload(), 0, "unloading Linux's driver"))
		notify_sp_raw();
}

// SPDX-License-Identifier: GPL-2.0
/* Linux's view: the arm_ffa bus, its devices and a client driver. */
#include <linux/device.h>
#include <linux/kernel.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

/* What a driver's probe and remove saw. */
static int probes;
static int removes;
static struct ffa_device *bound;

static int client_probe(struct ffa_device *device)
{
	probes++;
	bound = device;
	return 0;
}

static void client_remove(struct ffa_device *device)
{
	removes++;
	bound = NULL;
}

struct census {
	int devices;
	int seen[PARTITION_COUNT];
	int hosts;
};

static int count_device(struct device *dev, void *data)
{
	struct ffa_device *device = to_ffa_dev(dev);
	struct census *census = data;
	int i;

	census->devices++;
	for (i = 0; i < PARTITION_COUNT; i++) {
		if (device->vm_id != partitions[i].id)
			continue;
		census->seen[i]++;
		expect_true(uuid_equal(&device->uuid, &partitions[i].uuid),
			    "UUID %pUb of %s on the bus", &device->uuid,
			    partitions[i].name);
		expect_true(!device->mode_32bit, "%s is a 64-bit partition",
			    partitions[i].name);
		expect_true(ffa_partition_supports_direct_recv(device),
			    "%s takes direct requests", partitions[i].name);
	}
	if (device->vm_id == HOST_ID) {
		census->hosts++;
		expect_true(uuid_is_null(&device->uuid),
			    "the host itself has no UUID");
	}
	return 0;
}

/* The client's calls through the driver's operations. */
static void use_device(struct ffa_device *device)
{
	struct ffa_send_direct_data data = {
		.data0 = 0x0123456789abcdef,
		.data1 = ~0UL,
		.data2 = 0,
		.data3 = 0x8000000000000001,
		.data4 = 42,
	};
	struct ffa_send_direct_data sent = data;
	struct ffa_partition_info info = {};
	char uuid[UUID_STRING_LEN + 1];

	expect_eq(device->ops->info_ops->api_version_get(), FFA_VERSION_1_1,
		  "version that the driver negotiated");

	if (expect_eq(device->ops->msg_ops->sync_send_receive(device, &data), 0,
		      "a direct message by the driver"))
		expect_true(!memcmp(&data, &sent, sizeof(data)),
			    "the driver's message is echoed");

	snprintf(uuid, sizeof(uuid), "%pUb", &partitions[0].uuid);
	expect_eq(device->ops->info_ops->partition_info_get(uuid, &info), 0,
		  "the driver finds the partition %s", uuid);
	expect_eq(info.id, ECHO_ID, "id of the partition %s", uuid);
	expect_eq(info.exec_ctxt, partitions[0].contexts,
		  "contexts of the partition %s", uuid);
}

void bus_probe(void)
{
	static const struct ffa_device_id echo_table[] = {
		{ UUID_INIT(0xfef7ffd1, 0xe415, 0x4628, 0xa0, 0x4e, 0x49, 0xbd,
			    0x74, 0xda, 0x1a, 0x8e) },
		{}
	};
	static const struct ffa_device_id unknown_table[] = {
		{ UUID_INIT(0xfef7ffd1, 0xe415, 0x4628, 0xa0, 0x4e, 0x49, 0xbd,
			    0x74, 0xda, 0x1a, 0x8f) },
		{}
	};
	static struct ffa_driver client = {
		.name = "tantalum-client",
		.probe = client_probe,
		.remove = client_remove,
		.id_table = echo_table,
	};
	static struct ffa_driver stranger = {
		.name = "tantalum-stranger",
		.probe = client_probe,
		.remove = client_remove,
		.id_table = unknown_table,
	};
	struct census census = {};
	int i;

	if (!driver_is_usable()) {
		expect_no_driver();
		return;
	}
	if (!expect_eq(driver_load(), 0, "loading Linux's driver"))
		return;

	bus_for_each_dev(&ffa_bus_type, NULL, &census, count_device);
	for (i = 0; i < PARTITION_COUNT; i++)
		expect_eq(census.seen[i], 1, "devices for %s",
			  partitions[i].name);
	expect_eq(census.hosts, 1, "devices for the host");
	expect_eq(census.devices, PARTITION_COUNT + 1, "devices on the bus");

	/* A driver for echo's UUID gets echo's device and no other. */
	probes = 0;
	removes = 0;
	if (expect_eq(ffa_register(&client), 0, "registering a client driver")) {
		expect_eq(probes, 1, "probes of the client driver");
		if (expect_true(bound, "the client driver is bound")) {
			expect_eq(bound->vm_id, ECHO_ID,
				  "partition that the client is bound to");
			use_device(bound);
		}
		ffa_unregister(&client);
		expect_eq(removes, 1, "removes of the client driver");
	}

	/* A driver for a UUID that nobody has gets none. */
	probes = 0;
	if (expect_eq(ffa_register(&stranger), 0,
		      "registering a driver for an unknown UUID")) {
		expect_eq(probes, 0, "probes of a driver for an unknown UUID");
		ffa_unregister(&stranger);
	}

	if (!expect_eq(driver_unload(), 0, "unloading Linux's driver"))
		return;
	memset(&census, 0, sizeof(census));
	bus_for_each_dev(&ffa_bus_type, NULL, &census, count_device);
	expect_eq(census.devices, 0, "devices on the bus without the driver");
}

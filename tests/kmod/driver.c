// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and unloads Linux's FF-A driver under the running scenarios, so that they
 * see what it does to the buffers when it comes and goes. A module cannot unload
 * another; user space's tools can.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/umh.h>

#include "ffa.h"
#include "harness.h"

static char *tool = "/bin/busybox";
module_param(tool, charp, 0444);
MODULE_PARM_DESC(tool, "BusyBox, for insmod and rmmod");

static char *driver = "/lib/modules/ffa-module.ko";
module_param(driver, charp, 0444);
MODULE_PARM_DESC(driver, "path of Linux's FF-A driver");

static int run_tool(char *applet, char *argument)
{
	char *argv[] = { tool, applet, argument, NULL };
	char *envp[] = { "PATH=/sbin:/bin:/usr/sbin:/usr/bin", NULL };

	return call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC);
}

static int any_device(struct device *dev, void *unused)
{
	return 1;
}

/* The driver registers a device for each partition and one for the host. */
bool driver_is_loaded(void)
{
	return bus_for_each_dev(&ffa_bus_type, NULL, NULL, any_device);
}

int driver_load(void)
{
	return driver_is_loaded() ? 0 : run_tool("insmod", driver);
}

void expect_no_driver(void)
{
	expect_true(driver_load() != 0,
		    "loading Linux's driver, which speaks FF-A 1.1, at 0x%x",
		    host_version());
	expect_true(!driver_is_loaded(), "no devices without the driver");
}

int driver_unload(void)
{
	return driver_is_loaded() ? run_tool("rmmod", "ffa_module") : 0;
}

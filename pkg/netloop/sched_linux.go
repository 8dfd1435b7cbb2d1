// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ScheduleInBatches asks the system to let this process run on, once it runs, and
// not to interrupt others for it (SCHED_BATCH). On a machine whose processors are
// all busy - a proxy beside its database or its application - a loop then finds
// several events when it wakes up instead of one, which costs less for each; on
// an idle machine nothing changes. docs/netloop.md has figures.
//
// It is meant for the beginning of a process: it goes through the threads that
// exist, and later ones inherit it. A thread whose policy somebody has set to
// anything but the ordinary one is left alone. No privilege is needed.
func ScheduleInBatches() error {
	// A thread that had not been reached may have started another one meanwhile.
	for range 10 {
		changed, err := scheduleThreads()
		if err != nil || changed == 0 {
			return err
		}
	}
	return nil
}

// scheduleThreads sets the policy of all threads and returns how many of them
// had another one.
func scheduleThreads() (changed int, err error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if err == nil && attr.Policy == unix.SCHED_NORMAL {
			changed++
			attr.Policy = unix.SCHED_BATCH
			err = unix.SchedSetAttr(tid, attr, 0)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			return changed, os.NewSyscallError("sched_setattr", err)
		}
	}
	return changed, nil
}

package statefile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestA03AChildOfAHostThatWasKilledHoldsTheLogForAMomentOnly: such a child has the lock until it runs its program. Somebody who lives keeps it.
func TestA03AChildOfAHostThatWasKilledHoldsTheLogForAMomentOnly(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		holder  int
		expects error
	}{
		{"who was killed", gone.Process.Pid, nil},
		{"who lives", os.Getppid(), ErrLocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "LOCK")
			if err := os.WriteFile(path, []byte(strconv.Itoa(c.holder)), 0o600); err != nil {
				t.Fatal(err)
			}
			child, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Flock(int(child.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			time.AfterFunc(20*lockPause, func() {
				defer close(ended)
				_ = child.Close()
			})
			lock, err := Lock(path)
			<-ended
			if !errors.Is(err, c.expects) {
				t.Fatalf("%v, want %v", err, c.expects)
			}
			if lock != nil {
				_ = lock.Close()
			}
		})
	}
}

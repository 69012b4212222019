package supervise

import (
	"context"
	"strings"
	"testing"
)

// TestH61APanicReachesItsSupervisor panics on a goroutine and in a callback. What was deferred before happens as well.
func TestH61APanicReachesItsSupervisor(t *testing.T) {
	told := make(chan string, 2)
	ctx := With(t.Context(), func(p any, stack string) { told <- p.(string) + stack })
	ended := make(chan struct{})
	Go(ctx, func() {
		defer close(ended)
		panic("a goroutine")
	})
	<-ended
	callback := func() {
		defer Recover(ctx)
		panic("a callback")
	}
	callback()
	for range 2 {
		if text := <-told; !strings.Contains(text, "supervise_test.go") {
			t.Errorf("the stack does not name where it panicked: %s", text)
		}
	}
}

func TestWithoutSupervisorAPanicGoesOn(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
	}()
	func() {
		defer Recover(context.Background())
		panic("nobody looks after it")
	}()
}

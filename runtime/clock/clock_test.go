package clock

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

var (
	_ Clock = (*Real)(nil)
	_ Clock = (*Virtual)(nil)
)

func sent(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// pass lets the bubble's time go on.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// bubbleClock is a Real in a synctest bubble, whose goroutines must not wait for the kernel.
func bubbleClock() *Real {
	r := newReal()
	r.closer = func() error { return nil }
	return r
}

func TestRealWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bubbleClock()
		wake := r.Wake(time.Minute)
		pass(time.Minute - 2)
		if sent(wake) {
			t.Fatal("wakes early")
		}
		pass(1)
		if !sent(wake) {
			t.Fatal("does not wake")
		}
		pass(time.Hour)
		if sent(wake) {
			t.Fatal("wakes twice")
		}
	})
}

func TestRealWakeReplacesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bubbleClock()
		r.Wake(time.Second)
		pass(2 * time.Second) // the first has been sent
		wake := r.Wake(5 * time.Second)
		if sent(wake) {
			t.Fatal("the older wake-up is still there")
		}
		r.Wake(4 * time.Second)
		pass(2 * time.Second)
		if !sent(wake) {
			t.Fatal("the newer wake-up does not come")
		}
		r.Wake(10 * time.Second)
		r.Wake(-1)
		pass(time.Minute)
		if sent(wake) {
			t.Fatal("a cancelled wake-up comes")
		}
		if !sent(r.Wake(0)) {
			synctest.Wait()
			if !sent(wake) {
				t.Fatal("a time that has passed does not wake")
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRealTells(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, err := NewReal()
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if now := r.Now(); now.Before(before.Round(0)) || now.String() != now.Round(0).String() {
		t.Errorf("now is %s, with a monotonic reading or in the past", now)
	}
	first := r.Elapsed()
	if second := r.Elapsed(); first <= 0 || second < first {
		t.Errorf("elapsed time goes from %s to %s", first, second)
	}
	if sent(r.Jumps()) {
		t.Error("a jump that was none")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestVirtual(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	v := NewVirtual(start)
	minute := v.Elapsed() + time.Minute
	if v.Elapsed() <= 0 {
		t.Fatalf("starts at %s, which stands for never", v.Elapsed())
	}
	wake := v.Wake(minute)
	if due, ok := v.NextWake(); !ok || due != minute {
		t.Fatalf("next wake-up at %s, %t", due, ok)
	}
	v.Advance(time.Minute - 1)
	if sent(wake) {
		t.Fatal("wakes early")
	}
	v.Advance(1)
	if !sent(wake) || v.Elapsed() != minute || !v.Now().Equal(start.Add(time.Minute)) {
		t.Fatalf("after a minute: elapsed %s, now %s", v.Elapsed(), v.Now())
	}
	if _, ok := v.NextWake(); ok {
		t.Error("a wake-up that was sent is still due")
	}
	v.Wake(minute + time.Hour)
	v.SetWall(start.Add(-time.Hour))
	if !sent(v.Jumps()) || sent(v.Jumps()) || sent(wake) || v.Elapsed() != minute || !v.Now().Equal(start.Add(-time.Hour)) {
		t.Errorf("after setting the clock: elapsed %s, now %s", v.Elapsed(), v.Now())
	}
	v.Suspend(8 * time.Hour)
	if !sent(v.Jumps()) || !sent(wake) || v.Elapsed() != minute+8*time.Hour || !v.Now().Equal(start.Add(7*time.Hour)) {
		t.Errorf("after suspension: elapsed %s, now %s", v.Elapsed(), v.Now())
	}
	v.Wake(v.Elapsed() + time.Minute)
	v.Wake(-1)
	v.Advance(time.Hour)
	if sent(wake) || sent(v.Jumps()) {
		t.Error("wakes or jumps for nothing")
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestVirtualRefusesToGoBack(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("elapsed time went back")
		}
	}()
	NewVirtual(time.Time{}).Advance(-1)
}

// TestVirtualWakesExactlyWhenDue steps as a driver does.
func TestVirtualWakesExactlyWhenDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := NewVirtual(time.Unix(0, 0))
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			due := v.Elapsed() + time.Duration(rapid.Int64Range(-5, 5).Draw(t, "due"))
			wake := v.Wake(due)
			if due >= 0 && due <= v.Elapsed() != sent(wake) {
				t.Fatalf("due %s at %s", due, v.Elapsed())
			}
			next, ok := v.NextWake()
			if ok != (due > v.Elapsed()) || ok && next != due {
				t.Fatalf("next wake-up %s, %t, due %s at %s", next, ok, due, v.Elapsed())
			}
			if ok {
				v.Advance(next - v.Elapsed())
				if !sent(wake) {
					t.Fatalf("not woken at %s", next)
				}
			}
			if rapid.Bool().Draw(t, "jump") {
				v.SetWall(v.Now().Add(time.Hour))
			}
		}
	})
}

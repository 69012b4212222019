// Package supervise keeps a panic where it belongs. The runtime recovers what a look does itself; a panic on a goroutine that the look
// has started, or in a callback that it gave to a library, would end the process. So watchers start no goroutine but by Go, and every
// callback that they register begins with
//
//	defer supervise.Recover(ctx)
//
// A test over the syntax tree sees to both. What belongs to no look, such as a pool of connections, has a supervisor of its own. The
// package never decides what a panic means: whoever made the context does.
package supervise

import (
	"context"
	"runtime/debug"
)

// Supervisor is told of a panic, with its stack as text. It may be called on any goroutine, and more than once.
type Supervisor func(panicked any, stack string)

type key struct{}

// With gives a context a supervisor. The runtime does so for every look: a panic ends the activation that the look belongs to, with the
// outcome panic, and nothing else.
func With(ctx context.Context, s Supervisor) context.Context {
	return context.WithValue(ctx, key{}, s)
}

// Go runs f on a goroutine of its own, for the look that ctx belongs to.
func Go(ctx context.Context, f func()) {
	go func() {
		defer Recover(ctx)
		f()
	}()
}

// Recover hands a panic, where it is deferred, to the context's supervisor. What else was deferred happens as usual, so that nobody is left waiting.
// Without a supervisor, as in a test, the panic goes on.
func Recover(ctx context.Context) {
	s, ok := ctx.Value(key{}).(Supervisor)
	if !ok {
		return
	}
	if p := recover(); p != nil {
		s(p, string(debug.Stack()))
	}
}

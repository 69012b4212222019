// Package machine is the pure core: what a manifest says, whether it can work, and what one event does
// to a machine. It reads no clock, does no I/O, starts no goroutine and keeps no global state: time, input
// and randomness arrive as arguments, what should happen is returned, and the runtime does it.
package machine

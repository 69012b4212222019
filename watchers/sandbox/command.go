package sandbox

import "time"

// RunVariable is the environment variable that marks a program and everything it starts, so that what left its process
// group is found when the run is ended. A descendant that clears its environment is not found.
const RunVariable = "STATECRAFT_RUN"

// StderrLimit is how many bytes of the standard error stream are kept.
const StderrLimit = 64 << 10

// Command is one program to run. It may be run several times, also at once.
type Command struct {
	Path  string   // absolute
	Args  []string // with the program's own name first
	Env   []string // K=V, all of it: nothing is inherited
	Dir   string   // absolute
	Limit int      // bytes of standard output that are kept
	Input []byte   // what is on the standard input, which then ends

	// Confine is nil for a program that runs with the host's own rights.
	Confine *Confinement
	// Outlive puts the program into a session of its own and leaves it running when the context is
	// cancelled. A deadline that passes ends it all the same.
	Outlive bool
	// Discard sends both output streams to the null device, so that a program that outlives the host does
	// not die of writing to it.
	Discard bool
}

// Result is what became of a program.
type Result struct {
	Stdout    []byte // at most Command.Limit bytes, from the beginning
	Stderr    []byte // at most StderrLimit bytes, of the end
	Truncated bool   // there was more on the standard output
	// ExitCode is the program's, or 128 and the number of the signal that ended it, or -1 where it did not
	// end or did not start.
	ExitCode int
	Duration time.Duration
}

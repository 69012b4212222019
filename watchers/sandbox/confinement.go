package sandbox

// Confinement lowers a program below the host's own rights. The zero value changes nothing but the file mode
// mask (077) and the descriptors, of which a confined program gets the standard three only.
type Confinement struct {
	As *Identity // nil is the host's own user
	Limits
	NoNewPrivileges bool // setuid programs such as sudo do not raise the program again
}

// Limits bound what one program may use. 0 is the host's own limit.
type Limits struct {
	Memory     uint64 // bytes of address space, of each process
	FileSize   uint64 // bytes, of each file written
	CPUSeconds uint64 // of each process
	Processes  uint64 // of the user in all; the kernel does not hold root to it
	OpenFiles  uint64 // descriptors, of each process
}

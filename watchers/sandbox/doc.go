// Package sandbox runs one program to its end within a context and within declared limits: with its own process group,
// bounded output, and, where a Confinement asks for it, as another user, with resource limits and without
// the means to gain privileges.
//
// A confined program is started through a shim: the host's own executable under another name, which lowers
// itself and then becomes the program. Programs that confine must call Main before anything else.
//
// The package never interprets a command, never uses a shell, and knows nothing of machines.
package sandbox

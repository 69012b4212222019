package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/keyfile"
)

// passphraseVariable names a file, or a descriptor as /dev/fd/3, whose first line is the passphrase of key files.
const passphraseVariable = "STATECRAFT_PASSPHRASE_FILE"

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 1 << 10

// keysPassphraseVerb changes the passphrase of a key file.
type keysPassphraseVerb struct {
	NewFile string `placeholder:"FILE" help:"A file, or a descriptor such as /dev/fd/3, whose first line is the new passphrase. Without it, it is asked for on the terminal, twice."`
	Remove  bool   `help:"Write the key without a passphrase."`
	File    string `arg:"" help:"The key file. It is replaced."`
}

// Run writes the key anew.
func (v *keysPassphraseVerb) Run(inv *invocation) error {
	if err := v.fit(); err != nil {
		return err
	}
	k, err := inv.loadKey(v.File, "statecraft keys new "+v.File+" makes one")
	if err != nil {
		return err
	}
	seed, err := k.Seed()
	if err != nil {
		return fail(exitFailed, "the program that has it may ask for one", "%w", err)
	}
	content := fmt.Appendf(nil, "%x\n", seed)
	if !v.Remove {
		phrase, err := v.wanted()
		if err != nil {
			return err
		}
		if content, err = keyfile.Protect(k, phrase); err != nil {
			return err
		}
	}
	if err := identity.WriteFile(v.File, content); err != nil {
		return fail(exitFailed, "", "writing the key: %w", err)
	}
	return inv.key(v.File, k.Public())
}

// fit refuses keys that cannot have a passphrase: nobody is there to ask when a host starts, and the authority's is no ed25519 key in a file of its own.
func (v *keysPassphraseVerb) fit() error {
	_, err := os.Stat(filepath.Join(filepath.Dir(v.File), "overlay.yaml"))
	switch {
	case filepath.Base(v.File) == "ca.key":
		return usage("keep it offline, on an encrypted disk", "ca.key can have no passphrase")
	case err == nil && !v.Remove:
		return usage("hosts take plain keys only: protect the folder", "%s is a host's key, and nobody is there to ask when a host starts", v.File)
	}
	return nil
}

// wanted is the new passphrase.
func (v *keysPassphraseVerb) wanted() ([]byte, error) {
	if v.NewFile != "" {
		return firstLine(v.NewFile)
	}
	one, err := ask("new passphrase for " + v.File + ": ")
	if err != nil {
		return nil, fail(exitFailed, "--new-file names a file, or a descriptor, whose first line is the new passphrase", "%w", err)
	}
	two, err := ask("the same again: ")
	switch {
	case err != nil:
		return nil, fail(exitFailed, "", "%w", err)
	case !bytes.Equal(one, two):
		return nil, usage("", "the two passphrases differ; the key is as it was")
	case len(one) == 0:
		return nil, usage("--remove writes the key without one", "the passphrase is empty")
	}
	return one, nil
}

// keysHelperVerb makes a key file that names a program.
type keysHelperVerb struct {
	PublicKey string        `required:"" placeholder:"KEY" help:"The public key of what the program has, in hexadecimal digits or as an nkey."`
	Timeout   time.Duration `default:"30s" help:"How long the program may take for a signature, at most 10m."`
	File      string        `arg:"" help:"The file to make. A key is never replaced."`
	Command   []string      `arg:"" passthrough:"" help:"The program, by its absolute path, and its arguments. docs/trust.md says what it is given and what it answers."`
}

// Run makes the file.
func (v *keysHelperVerb) Run(inv *invocation) error {
	public, err := parsePublicKey("--public-key", v.PublicKey)
	if err != nil {
		return err
	}
	command := v.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	content, err := keyfile.Helper{Command: command, PublicKey: public.String(), Timeout: v.Timeout.String()}.Encode()
	if err != nil {
		return usage("statecraft keys helper FILE --public-key KEY -- /usr/local/bin/sign --slot 3", "%w", err)
	}
	switch err := identity.CreateFile(v.File, content); {
	case errors.Is(err, fs.ErrExist):
		return fail(exitFailed, "choose another name, or move it away", "%s is there, and a key is never replaced", v.File)
	case err != nil:
		return fail(exitFailed, "make the folder first", "writing the key file: %w", err)
	}
	return inv.key(v.File, public)
}

// keyOpener opens key files, and asks for their passphrases.
func (inv *invocation) keyOpener() keyfile.Opener {
	return keyfile.Opener{Context: inv.ctx, Passphrase: func(path string) ([]byte, error) {
		if file := os.Getenv(passphraseVariable); file != "" {
			return firstLine(file)
		}
		return ask("passphrase of " + path + ": ")
	}}
}

// firstLine is the first line of a file or a descriptor, without its end.
func firstLine(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the %w: %w", keyfile.ErrPassphrase, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s can be read by others (mode %04o): run chmod 600 %s, and choose another one if somebody may have read it",
			keyfile.ErrPassphrase, file, info.Mode().Perm(), file)
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := identity.CheckRead(file); err != nil {
			return nil, fmt.Errorf("reading the %w: %w", keyfile.ErrPassphrase, err)
		}
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxPassphrase+1)).ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("reading the %w: %w", keyfile.ErrPassphrase, err)
	case line == "" || len(line) > maxPassphrase:
		return nil, fmt.Errorf("%w: the first line of %s has %d bytes; 1 to %d are one", keyfile.ErrPassphrase, file, len(line), maxPassphrase)
	}
	return []byte(line), nil
}

// ask asks on the terminal that the program runs on, wherever its input and output go, and shows nothing of what is typed.
func ask(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("there is a %w to ask for, and no terminal", keyfile.ErrPassphrase)
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("asking for the %w: %w", keyfile.ErrPassphrase, err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return nil, fmt.Errorf("asking for the %w: %w", keyfile.ErrPassphrase, err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, before)
		fmt.Fprintln(tty)
	}()
	fmt.Fprint(tty, prompt)
	line, err := bufio.NewReader(io.LimitReader(&input{ctx: ctx, r: tty}, maxPassphrase)).ReadString('\n')
	if ctx.Err() != nil {
		return nil, interrupted()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("asking for the %w: %w", keyfile.ErrPassphrase, err)
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}

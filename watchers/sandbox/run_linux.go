package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Run starts the program and waits for it. It returns within about 100 ms after ctx has ended, whatever the program
// and its descendants do, and then ctx's error: the process group gets SIGTERM, 50 ms later SIGKILL, and so does
// every process that carries the run's mark. Any other error says that the program could not be started.
//
// A program that ends by itself may leave descendants behind; they are left alone.
func (c *Command) Run(ctx context.Context) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{ExitCode: -1}, err
	}
	began := time.Now()
	p, err := c.start(ctx)
	if err != nil {
		return Result{ExitCode: -1, Duration: time.Since(began)}, err
	}
	code, err := p.wait(ctx)
	p.stdout.finish()
	p.stderr.finish()
	return Result{
		Stdout: p.stdout.kept, Stderr: p.stderr.kept, Truncated: p.stdout.truncated,
		ExitCode: code, Duration: time.Since(began),
	}, err
}

func (c *Command) start(ctx context.Context) (*running, error) {
	p := &running{mark: RunVariable + "=" + rand.Text(), outlive: c.Outlive, exited: make(chan struct{})}
	files, err := c.open(p)
	defer func() { closeAll(files) }()
	if err != nil {
		return nil, fmt.Errorf("opening the streams of %s: %w", c.Path, err)
	}
	path, args, env := c.Path, c.Args, slices.Concat(c.Env, []string{p.mark})
	if c.Confine != nil {
		request, err := c.request(env)
		if err != nil {
			closeAll([]*os.File{p.stdout.pipe, p.stderr.pipe})
			return nil, err
		}
		files = append(files, request)
		path, args, env = shimPath, []string{shimName}, shimEnvironment(p.mark)
	}
	if err := closeOnExec(); err != nil {
		closeAll([]*os.File{p.stdout.pipe, p.stderr.pipe})
		return nil, fmt.Errorf("keeping the host's descriptors from %s: %w", c.Path, err)
	}
	p.process, err = os.StartProcess(path, args, &os.ProcAttr{Dir: c.Dir, Env: env, Files: files, Sys: attributes(c.Outlive)})
	if err != nil {
		closeAll([]*os.File{p.stdout.pipe, p.stderr.pipe})
		return nil, c.explain(err)
	}
	p.follow(ctx)
	return p, nil
}

// open makes the three standard streams. The caller closes what is returned, also with an error.
func (c *Command) open(p *running) (files []*os.File, err error) {
	input, err := c.input()
	if err != nil {
		return nil, err
	}
	if c.Discard {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		p.stdout, p.stderr = noCapture(), noCapture()
		return []*os.File{input, null, null}, err
	}
	files = []*os.File{input, nil, nil}
	if p.stdout, files[1], err = newCapture(c.Limit, false); err != nil {
		return files[:1], err
	}
	if p.stderr, files[2], err = newCapture(StderrLimit, true); err != nil {
		closeAll([]*os.File{p.stdout.pipe})
		return files[:2], err
	}
	return files, nil
}

// input is memory and not a pipe, which somebody would have to write to for as long as the program reads, if it does.
func (c *Command) input() (*os.File, error) {
	if len(c.Input) == 0 {
		return os.Open(os.DevNull)
	}
	return memory("input", func(w io.Writer) error {
		_, err := w.Write(c.Input)
		return err
	})
}

// memory returns a file without a name that was filled and is read from its beginning.
func memory(name string, fill func(io.Writer) error) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	err = fill(file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// closeAll closes what may be absent, or stand there several times: errors have no meaning here.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// explain turns the bare error of a fork into one that says what is missing.
func (c *Command) explain(err error) error {
	if info, statErr := os.Stat(c.Dir); statErr != nil || !info.IsDir() {
		return fmt.Errorf("running %s in %s, which is no folder: %w", c.Path, c.Dir, err)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return startError(c.Path, err)
}

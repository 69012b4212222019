package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// disk is a small disk that a host's folder is on.
type disk struct {
	dir string
}

// filler is the file that fills the disk.
func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// newDisk puts a folder on a disk of its own, in memory. Only root may, and not in every container.
func newDisk(dir string, bytes int64) (*disk, error) {
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		return nil, err
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=0700,size="+strconv.FormatInt(bytes, 10))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mounting a small disk: %w", err), os.Remove(dir), os.Rename(aside, dir))
	}
	d := &disk{dir: dir}
	if out, err := exec.Command("cp", "-a", aside+"/.", dir).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("copying to the small disk: %w, %s", err, out), d.unmount())
	}
	return d, os.RemoveAll(aside)
}

// fill leaves no room.
func (d *disk) fill() error {
	file, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// free gives the room back.
func (d *disk) free() error { return os.Remove(d.filler()) }

// keep copies what is on the disk to a folder of that name with the ending .kept beside it.
func (d *disk) keep() error {
	out, err := exec.Command("cp", "-a", d.dir, d.dir+".kept").CombinedOutput()
	if err != nil {
		return fmt.Errorf("keeping a small disk: %w, %s", err, out)
	}
	return nil
}

func (d *disk) unmount() error { return unix.Unmount(d.dir, unix.MNT_DETACH) }

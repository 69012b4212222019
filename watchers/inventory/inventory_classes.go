package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	maxClassFile  = 1 << 20 // bytes
	maxClasses    = 4096    // in a file
	maxClassBytes = 256     // in a name
)

var errManyClasses = fmt.Errorf("it has more than %d names", maxClasses)

// className reports whether a text can be a class, an agent or a collective.
func className(text string) bool {
	return text != "" && len(text) <= maxClassBytes && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// allClasses are those of the manifest and of the files, each once. The error is of files that count as they were.
func (s *surveyor) allClasses(look *watchers.Look) (all []string, err error) {
	if len(s.spec.ClassesFiles) == 0 {
		return s.spec.Classes, nil
	}
	if s.classes == nil {
		s.classes = map[string][]string{}
	}
	all = slices.Clone(s.spec.Classes)
	for _, path := range s.spec.ClassesFiles {
		file := path
		if !filepath.IsAbs(file) {
			file = filepath.Join(look.Directory, file)
		}
		names, readErr := readClasses(file)
		if readErr == nil {
			s.classes[path] = names
		}
		err = errors.Join(err, readErr)
		all = append(all, s.classes[path]...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(name string) bool {
		was := seen[name]
		seen[name] = true
		return was
	}), err
}

// readClasses reads a file. One that is not there has no names.
func readClasses(path string) ([]string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading classes: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("reading classes: %s is no file", path), err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxClassFile+1))
	if err == nil && len(text) > maxClassFile {
		err = fmt.Errorf("it has more than %d bytes", maxClassFile)
	}
	var names []string
	if err == nil {
		names, err = parseClasses(filepath.Ext(path), text)
	}
	if err != nil {
		return nil, fmt.Errorf("reading classes of %s: %w", path, err)
	}
	return names, nil
}

// parseClasses reads names, by the ending of the file's name.
func parseClasses(ending string, text []byte) (names []string, err error) {
	switch ending {
	case ".json":
		err = json.Unmarshal(text, &names)
	case ".yaml", ".yml":
		names, err = listed(text)
	default:
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				names = append(names, line)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if len(names) > maxClasses {
		return nil, errManyClasses
	}
	for i, name := range names {
		if !className(name) {
			return nil, fmt.Errorf("name %d, %.40q, is no class: write at most %d bytes on one line", i+1, name, maxClassBytes)
		}
	}
	return names, nil
}

// listed reads a list of texts in YAML.
func listed(text []byte) ([]string, error) {
	n, list := strict.Parse("classes", text)
	if err := list.Err(); err != nil || n == nil {
		return nil, err
	}
	var names []string
	if err := strict.Decode(n, &names, strict.Options{}).Err(); err != nil {
		return nil, err
	}
	return names, nil
}

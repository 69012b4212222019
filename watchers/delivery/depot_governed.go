package delivery

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/statecraft-io/statecraft/watchers"
)

// outcomeGoverned is that the machines under governors are others than before.
const outcomeGoverned = "governed"

// maxGoverned bounds the names of governors and machines in an event, in bytes.
const maxGoverned = 32 << 10

// listed is what is read of a spec: nothing of it is believed, as nodes are who verifies.
type listed struct {
	Machines []struct {
		Name     string `json:"name"`
		Governor string `json:"governor"`
	} `json:"machines"`
}

// governedBy reads which machines a spec lists under governors, none where it cannot be read.
func governedBy(envelope string) (names map[string][]string) {
	var e struct {
		Payload string `json:"payload"`
	}
	var list listed
	if json.Unmarshal([]byte(envelope), &e) != nil {
		return nil
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil || json.Unmarshal(payload, &list) != nil {
		return nil
	}
	names = map[string][]string{}
	for _, m := range list.Machines {
		if depotName.MatchString(m.Governor) && depotName.MatchString(m.Name) {
			names[m.Governor] = append(names[m.Governor], m.Name)
		}
	}
	return names
}

// governed is the machines under governors in all channels, sorted, and how many are left out as there are too many.
func (s *specStock) governedMachines() (governed map[string]any, omitted int) {
	all := map[string]map[string]bool{}
	for _, spec := range s.specs {
		for governor, names := range governedBy(spec) {
			if all[governor] == nil {
				all[governor] = map[string]bool{}
			}
			for _, name := range names {
				all[governor][name] = true
			}
		}
	}
	governed = map[string]any{}
	left := maxGoverned
	const around = 8 // quotes, commas and brackets
	for _, governor := range slices.Sorted(maps.Keys(all)) {
		var names []any
		left -= len(governor) + around
		for _, name := range slices.Sorted(maps.Keys(all[governor])) {
			if left -= len(name) + around; left < 0 {
				omitted++
				continue
			}
			names = append(names, name)
		}
		if len(names) > 0 {
			governed[governor] = names
		}
	}
	return governed, omitted
}

// tell tells of the machines under governors where they are others than before. While the bucket is being read nothing is told.
func (f *specFollower) tell() {
	f.shelf.mu.Lock()
	read := f.shelf.governed != nil && f.shelf.stock == f.stock
	var governed map[string]any
	var omitted int
	if read {
		governed, omitted = f.stock.governedMachines()
	}
	f.shelf.mu.Unlock()
	text, err := json.Marshal(governed)
	if !read || err != nil || string(text) == f.told {
		return
	}
	f.told = string(text)
	r := watchers.Report{Outcome: outcomeGoverned, Payload: map[string]any{"governed": governed, "omitted": omitted}}
	if omitted > 0 {
		r.Message = fmt.Sprintf("%d machines that are published under governors get no turns: there are too many", omitted)
		f.shelf.log.Warn("governed_left_out", "bucket", f.shelf.bucket, "machines", omitted)
	}
	f.shelf.governed(r)
}

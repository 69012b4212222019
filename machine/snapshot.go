package machine

import "maps"

// Apply returns the snapshot after a record. head is the digest of the record as stored (EncodeRecord).
// It needs no definition, so that a log can be read without its manifests.
func (s Snapshot) Apply(r *Record, head string) Snapshot {
	s.Seq, s.Epoch, s.State, s.Digest, s.Head = r.Seq, r.Epoch, r.To, r.Digest, head
	s.Data = withChanges(s.Data, r.Set)
	if r.Instance != "" {
		s.Instance = r.Instance
	}
	if r.Arguments != nil {
		s.Input = r.Arguments
	}
	if r.newVisit() || r.Kind == RecordUpgrade {
		s.Groups = s.groupsAfter(r)
	}
	if r.newVisit() {
		s.Entered, s.Fired = r.At, 0
	} else if i := r.Cause.Deadline; r.Cause.Kind == CauseDeadline && i >= 1 && i <= 64 {
		s.Fired |= 1 << (i - 1)
	}
	if r.Cause.Group != "" {
		s.Groups = s.firedOf(r)
	}
	if r.Cause.Run != 0 {
		s.applyRun(r)
	}
	return s
}

// newVisit reports whether deadlines count from this record.
func (r *Record) newVisit() bool {
	switch r.Kind {
	case RecordStart, RecordTransition:
		return true
	case RecordRecovery:
		return r.From != r.To || r.Cause.Name == string(Initial)
	case RecordUpgrade:
		return r.From != r.To
	default:
		return false
	}
}

// applyRun keeps account of looks that must not run twice: an effect opens a run, the event that
// carries its number closes it, taken or not.
func (s *Snapshot) applyRun(r *Record) {
	running := maps.Clone(s.Running)
	switch {
	case r.Kind == RecordEffect:
		if running == nil {
			running = map[string]uint64{}
		}
		running[r.Cause.Name], s.Runs = r.Cause.Run, r.Cause.Run
	case running[r.Cause.Name] == r.Cause.Run:
		delete(running, r.Cause.Name)
	}
	if len(running) == 0 {
		running = nil
	}
	s.Running = running
}

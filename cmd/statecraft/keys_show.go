package main

// keysShowVerb prints a public key.
type keysShowVerb struct {
	File string `arg:"" help:"The key file."`
}

// Run prints the public key; the seed is never printed.
func (v *keysShowVerb) Run(inv *invocation) error {
	k, err := loadPublic(v.File, "statecraft keys new "+v.File+" makes one")
	if err != nil {
		return err
	}
	return inv.key(v.File, k)
}

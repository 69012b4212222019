package delivery

import "github.com/statecraft-io/statecraft/watchers"

func archiveType(Services) watchers.Type { panic("contract only") }

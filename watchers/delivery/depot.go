package delivery

import "github.com/statecraft-io/statecraft/watchers"

func depotType(Services) watchers.Type { panic("contract only") }

package messaging

// The codes by which a service denies what it is asked, in the header Nats-Service-Error-Code. They mean what those of HTTP do.
const (
	CodeUnreadable = "400" // the question is none
	CodeRefused    = "403"
	CodeNotFound   = "404"
	CodeConflict   = "409" // there is something else than who asks knows, or somebody else is at it
	CodeTooLarge   = "413"
	CodeUnfit      = "422" // what is there is not what the service can work with
	CodeBusy       = "429" // Retry-After says after how many seconds there is room
	CodeFailed     = "500"
	CodeNobody     = "502" // nobody listens where a request was passed on to
	CodeNotReady   = "503"
	CodeTooLate    = "504" // no answer came from there in time
	CodeFull       = "507" // there is no room for what is to be stored
)

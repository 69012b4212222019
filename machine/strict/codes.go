package strict

import "github.com/statecraft-io/statecraft/machine/diag"

// The codes of what Parse refuses. CodeBOM is a warning, all others are errors.
const (
	CodeSyntax       diag.Code = "SC001"
	CodeTooLarge     diag.Code = "SC002"
	CodeEncoding     diag.Code = "SC003"
	CodeControl      diag.Code = "SC004"
	CodeBOM          diag.Code = "SC005"
	CodeTab          diag.Code = "SC006"
	CodeDocuments    diag.Code = "SC007"
	CodeEmpty        diag.Code = "SC008"
	CodeDuplicateKey diag.Code = "SC009"
	CodeAlias        diag.Code = "SC010"
	CodeMergeKey     diag.Code = "SC011"
	CodeTag          diag.Code = "SC012"
	CodeKey          diag.Code = "SC013"
	CodeDepth        diag.Code = "SC014"
	CodeTooMany      diag.Code = "SC015"
)

// The codes of what Decode reports. CodeUnknownKey has the severity of Options, all others are errors.
const (
	CodeUnknownKey diag.Code = "SC020"
	CodeMissingKey diag.Code = "SC021"
	CodeTwoNames   diag.Code = "SC022"
	CodeShape      diag.Code = "SC023"
	CodeScalar     diag.Code = "SC024"
	CodeDuration   diag.Code = "SC025"
	CodeRange      diag.Code = "SC026"
	CodeEnum       diag.Code = "SC027"
	CodeNoValue    diag.Code = "SC028"
)

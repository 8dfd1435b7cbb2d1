// SPDX-License-Identifier: Apache-2.0

package pgmsg

// kind is one type of message.
type kind struct {
	typ    byte
	name   string
	encode func(dst []byte, fields []string) ([]byte, error)
	decode func(body *reader) []string
}

var frontend = []kind{
	{'Q', "Query", encodeStrings(1), decodeStrings(1)},
	{'P', "Parse", encodeParse, decodeParse},
	{'B', "Bind", encodeBind, decodeBind},
	{'D', "Describe", encodeObject, decodeObject},
	{'E', "Execute", encodeExecute, decodeExecute},
	{'C', "Close", encodeObject, decodeObject},
	{'S', "Sync", encodeEmpty, decodeEmpty},
	{'H', "Flush", encodeEmpty, decodeEmpty},
	{'F', "FunctionCall", encodeFunctionCall, decodeFunctionCall},
	{'X', "Terminate", encodeEmpty, decodeEmpty},
	{'d', "CopyData", encodeData, decodeData},
	{'c', "CopyDone", encodeEmpty, decodeEmpty},
	{'f', "CopyFail", encodeStrings(1), decodeStrings(1)},
}

var backend = []kind{
	{'1', "ParseComplete", encodeEmpty, decodeEmpty},
	{'2', "BindComplete", encodeEmpty, decodeEmpty},
	{'3', "CloseComplete", encodeEmpty, decodeEmpty},
	{'n', "NoData", encodeEmpty, decodeEmpty},
	{'s', "PortalSuspended", encodeEmpty, decodeEmpty},
	{'I', "EmptyQuery", encodeEmpty, decodeEmpty},
	{'T', "Columns", encodeColumns, decodeColumns},
	{'t', "Types", encodeTypes, decodeTypes},
	{'D', "Row", encodeRow, decodeRow},
	{'C', "Complete", encodeStrings(1), decodeStrings(1)},
	{'Z', "Ready", encodeReady, decodeReady},
	{'N', "Notice", encodeError("NOTICE"), decodeError},
	{'A', "Notification", encodeNotification, decodeNotification},
	{'S', "Parameter", encodeStrings(2), decodeStrings(2)},
	{'G', "CopyIn", encodeCopyStart, decodeIgnored},
	{'H', "CopyOut", encodeCopyStart, decodeIgnored},
	{'d', "CopyData", encodeData, decodeData},
	{'c', "CopyDone", encodeEmpty, decodeEmpty},
	{'V', "Result", encodeResult, decodeResult},
	{'K', "Key", encodeKey, decodeKey},
	{'E', "Error", encodeError("ERROR"), decodeError},
}

// fatal is the name of an Error with that severity.
var fatal = kind{'E', "Fatal", encodeError("FATAL"), decodeError}

var byName = func() map[string]kind {
	all := map[string]kind{fatal.name: fatal}
	for _, k := range frontend {
		all[k.name] = k
	}
	for _, k := range backend {
		all[k.name] = k
	}
	return all
}()

func byType(kinds []kind) (table [256]*kind) {
	for i := range kinds {
		table[kinds[i].typ] = &kinds[i]
	}
	return table
}

var frontendTypes, backendTypes = byType(frontend), byType(backend)

// SPDX-License-Identifier: Apache-2.0

package mysql

// AppendAuthSwitch appends an AuthSwitchRequest: use this plugin, with this salt, instead.
func AppendAuthSwitch(dst []byte, seq byte, plugin string, salt []byte) []byte {
	dst, at := begin(dst)
	dst = appendCString(append(dst, HeadEOF), plugin)
	return finish(append(append(dst, salt...), 0), at, seq)
}

// ParseAuthSwitch reads the payload of an AuthSwitchRequest. salt aliases it and is without its terminator. A payload of
// one byte asks for the scramble of servers before 4.1; that gives PluginOld and no salt.
func ParseAuthSwitch(payload []byte) (plugin string, salt []byte, ok bool) {
	if len(payload) == 0 || payload[0] != HeadEOF {
		return "", nil, false
	}
	if len(payload) == 1 {
		return PluginOld, nil, true
	}
	r := reader{p: payload[1:]}
	plugin, salt = string(r.cstring()), r.p
	if r.bad || plugin == "" {
		return "", nil, false
	}
	if n := len(salt); n > 0 && salt[n-1] == 0 {
		salt = salt[: n-1 : n-1]
	}
	return plugin, salt, true
}

// AppendAuthMoreData appends an AuthMoreData packet.
func AppendAuthMoreData(dst []byte, seq byte, data []byte) []byte {
	dst, at := begin(dst)
	return finish(append(append(dst, HeadMoreData), data...), at, seq)
}

// ParseAuthMoreData reads the payload of an AuthMoreData packet. data aliases it.
func ParseAuthMoreData(payload []byte) (data []byte, ok bool) {
	if len(payload) == 0 || payload[0] != HeadMoreData {
		return nil, false
	}
	return payload[1:], true
}

// ScrambleLen returns the length of the first answer of a plugin to a salt, if that is fixed. Empty answers, for empty
// passwords, are valid next to it. Whoever compares an answer has to look at its length first.
func ScrambleLen(plugin string) (n int, fixed bool) {
	switch plugin {
	case PluginNative:
		return 20, true
	case PluginCachingSHA2:
		return 32, true
	case PluginEd25519:
		return 64, true
	}
	return 0, false
}

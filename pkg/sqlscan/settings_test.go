// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "testing"

// A client that has its texts read in another way than the scanner reads them
// can hide anything.
func TestLexicalSettings(t *testing.T) {
	const unknown = EffectSet | EffectUnknown
	for _, c := range []struct {
		text      string
		want, off Effects // with standard_conforming_strings on and off
	}{
		{"SET client_encoding = 'UTF8'", EffectSet, EffectSet},
		{"SET client_encoding TO utf8", EffectSet, EffectSet},
		{"SET client_encoding TO 'utf-8';", EffectSet, EffectSet},
		{"SET client_encoding TO DEFAULT", EffectSet, EffectSet},
		{"SET NAMES 'latin1'", EffectSet, EffectSet},
		{"SET NAMES", EffectSet, EffectSet},
		{"RESET client_encoding", EffectSet, EffectSet},
		{"SET LOCAL client_encoding = 'UTF8'", 0, 0},
		{"SET LOCAL client_encoding = utf8; SELECT 1", 0, 0},
		{"SET client_encoding = 'SJIS'", unknown, unknown},
		{"SET client_encoding = sjis", unknown, unknown},
		{`SET "client_encoding" = 'SJIS'`, unknown, unknown},
		{"SET SESSION client_encoding TO 'GBK'; SELECT 1", unknown, unknown},
		{"SET NAMES 'BIG5'", unknown, unknown},
		{"SET NAMES 'UT'\n'F8'", EffectSet, EffectSet},
		{"SET NAMES 'UT'\n'F-EBCDIC'", unknown, unknown},
		{"SET NAMES U&'UTF8'", unknown, unknown},
		{"SET client_encoding = 'SJIS', 'UTF8'", unknown, unknown},
		{"SET client_encoding = ''", unknown, unknown},
		{"SET LOCAL client_encoding = 'SJIS'", EffectUnknown, EffectUnknown},
		{"SET LOCAL NAMES 'SJIS'", EffectUnknown, EffectUnknown},
		{"SELECT set_config('client_encoding', 'UTF8', true)", 0, 0},
		{"SELECT set_config('client_encoding', 'UTF8', false)", EffectSet, EffectSet},
		{"SELECT set_config('CLIENT_ENCODING', 'SJIS', true)", EffectUnknown, EffectUnknown},
		{"SELECT set_config('client_encoding', $1, true)", EffectUnknown, EffectUnknown},

		{"SET standard_conforming_strings = on", EffectSet, unknown},
		{"SET standard_conforming_strings TO 'On'", EffectSet, unknown},
		{"SET standard_conforming_strings = true", EffectSet, unknown},
		{"SET standard_conforming_strings = off", unknown, unknown},
		{"SET standard_conforming_strings = 'off'", unknown, unknown},
		{"SET standard_conforming_strings = 0", unknown, unknown},
		{"SET LOCAL standard_conforming_strings = on", 0, EffectUnknown},
		{"SET LOCAL standard_conforming_strings = off", EffectUnknown, EffectUnknown},
		{"SELECT set_config('standard_conforming_strings', 'off', true)", EffectUnknown, EffectUnknown},
		{"DO $$ BEGIN SET LOCAL standard_conforming_strings = off; END $$", EffectUnknown, EffectUnknown},
		{"BEGIN; SET LOCAL standard_conforming_strings = off; RESET ALL", EffectUnknown, EffectUnknown},
	} {
		if got := scan(c.text).Effects; got != c.want {
			t.Errorf("%q: effects %v, want %v", c.text, got, c.want)
		}
		if got := scanEscapes(c.text).Effects; got != c.off {
			t.Errorf("%q with escapes: effects %v, want %v", c.text, got, c.off)
		}
		checkCuts(t, c.text, false)
		checkCuts(t, c.text, true)
	}
}

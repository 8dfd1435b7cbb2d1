// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Settings stands for what a session wants of its connection.
type Settings struct{}

func (s *Session) initSettings(uint16, string) {}
func (s *Session) known() bool                 { return true }
func (s *Session) restStatus() wire.Status     { return wire.StatusAutocommit }
func (s *Session) applySettings() bool         { return true }
func (s *Session) applied(*exchange)           {}
func (s *Session) refused(*exchange) bool      { return false }
func (s *Session) scanMode() myscan.Mode       { return 0 }

func (s *Session) tracksForClient([]byte) []byte { return nil }
func (s *Session) serverTracks([]byte) bool      { return true }

// Key is s in the form that the pool compares.
func (s *Settings) Key() any {
	if s == nil {
		return nil
	}
	return s
}

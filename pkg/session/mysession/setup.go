// SPDX-License-Identifier: Apache-2.0

package mysession

// Setup is the statement that a new connection begins with, and again after a
// COM_RESET_CONNECTION: it has the server tell of every change of its session's
// state, as far as it can. Servers of MySQL and MariaDB take the same words.
const Setup = "SET SESSION session_track_system_variables='*', session_track_schema=ON, " +
	"session_track_state_change=ON, session_track_transaction_info='CHARACTERISTICS'"

// SPDX-License-Identifier: Apache-2.0

package mysql

// Capabilities is what one side of a connection can do, or both agreed on. The low 32 bits are those of MySQL, the high
// 32 bits are MariaDB's extended ones.
type Capabilities uint64

// The capabilities of MySQL.
const (
	ClientLongPassword Capabilities = 1 << iota // MariaDB calls it CLIENT_MYSQL: off says that the extended bits are there
	ClientFoundRows                             // affected rows are the rows found, not those changed
	ClientLongFlag
	ClientConnectWithDB
	ClientNoSchema
	ClientCompress // zlib
	ClientODBC
	ClientLocalFiles
	ClientIgnoreSpace
	ClientProtocol41
	ClientInteractive // interactive_timeout is the session's wait_timeout
	ClientSSL
	ClientIgnoreSigpipe
	ClientTransactions // status flags in OK packets
	ClientReserved
	ClientSecureConnection // also CLIENT_RESERVED2: authentication data of a given length
	ClientMultiStatements
	ClientMultiResults
	ClientPSMultiResults
	ClientPluginAuth
	ClientConnectAttrs
	ClientPluginAuthLenenc
	ClientCanHandleExpiredPasswords
	ClientSessionTrack
	ClientDeprecateEOF
	ClientOptionalResultsetMetadata
	ClientZstd
	ClientQueryAttributes
	ClientMultiFactor
	ClientCapabilityExtension
	ClientSSLVerifyServerCert // MariaDB; never sent by MySQL
	ClientRememberOptions

	// The extended capabilities of MariaDB.
	MariaDBProgress
	MariaDBComMulti
	MariaDBStmtBulkOperations
	MariaDBExtendedMetadata
	MariaDBCacheMetadata
	MariaDBBulkUnitResults
)

// ExtendedMask are the capabilities that only MariaDB has.
const ExtendedMask Capabilities = 0xffffffff << 32

// ClassMask are the capabilities that change what a session is like and that cannot be changed once it is open. Two
// clients share a database connection only if they agree on them.
const ClassMask = ClientFoundRows | ClientIgnoreSpace | ClientInteractive | ClientLocalFiles | ClientMultiStatements |
	ClientQueryAttributes | ClientOptionalResultsetMetadata |
	MariaDBStmtBulkOperations | MariaDBExtendedMetadata | MariaDBCacheMetadata

// Always are the capabilities that every database connection has, whatever its clients have.
const Always = ClientProtocol41 | ClientLongPassword | ClientLongFlag | ClientTransactions | ClientSecureConnection |
	ClientPluginAuth | ClientPluginAuthLenenc | ClientConnectAttrs | ClientMultiResults | ClientPSMultiResults |
	ClientSessionTrack | ClientDeprecateEOF

// Has reports whether all capabilities of other are there.
func (c Capabilities) Has(other Capabilities) bool { return c&other == other }

// Class returns the capabilities that are part of the key of a pool.
func (c Capabilities) Class() Capabilities { return c & ClassMask }

// Extended reports whether the fields of a login that belong to MariaDB's extended capabilities hold them.
func (c Capabilities) Extended() bool { return c&ClientLongPassword == 0 }

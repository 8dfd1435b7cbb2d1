// SPDX-License-Identifier: Apache-2.0

package model

// utility carries out a statement that returns no rows.
func (b *Backend) utility() {
	s := b.running
	switch s.verb {
	case vInsert:
		b.tx.marks = append(b.tx.marks, b.mark())
		b.complete("INSERT 0 1")
	case vBegin:
		b.beginBlock()
	case vCommit, vRollback:
		b.endBlock(s.verb == vCommit)
	case vSet, vSetLocal, vReset, vResetAll:
		b.set(s)
	case vDiscardAll:
		b.discardAll()
	case vDiscardSequences:
		b.complete("DISCARD SEQUENCES")
	case vPrepare:
		b.prepare(s)
	case vDeallocate:
		if !b.drop(s.arg) {
			b.missing(s.arg)
			return
		}
		b.complete("DEALLOCATE")
	case vDeallocateAll:
		b.dropAll()
		b.complete("DEALLOCATE ALL")
	case vListen:
		b.state.listenSoon, _ = addName(b.state.listenSoon, s.arg)
		b.complete("LISTEN")
	case vUnlisten:
		b.state.listenSoon = ""
		b.complete("UNLISTEN")
	case vNotify:
		b.tx.notices = append(b.tx.notices, [2]string{s.arg, s.arg2})
		b.complete("NOTIFY")
	case vTemp:
		list, added := addName(b.state.temp, s.arg)
		if !added {
			b.fail("42P07", "relation \""+s.arg+"\" already exists")
			return
		}
		b.state.temp = list
		b.complete("CREATE TABLE")
	case vNotice:
		b.queueError("NOTICE", "00000", b.mark())
		b.complete("DO")
	case vDefine:
		b.complete("CREATE FUNCTION")
	default:
		panic("model: a statement that nobody carries out")
	}
}

func (b *Backend) beginBlock() {
	if b.tx.status == 'T' {
		b.queueError("WARNING", "25001", "there is already a transaction in progress")
	}
	b.tx.status, b.tx.open = 'T', false
	b.complete("BEGIN")
}

func (b *Backend) endBlock(commit bool) {
	tag := "ROLLBACK"
	switch {
	case b.tx.status == 'I':
		b.queueError("WARNING", "25P01", "there is no transaction in progress")
		if b.tx.open && commit {
			b.commit()
		} else if b.tx.open {
			b.rollback()
		}
		if commit {
			tag = "COMMIT"
		}
	case b.tx.status == 'T' && commit:
		b.commit()
		tag = "COMMIT"
	default:
		b.rollback()
	}
	b.complete(tag)
}

func (b *Backend) set(s *statement) {
	name, value, tag := s.arg, s.arg2, "SET"
	switch s.verb {
	case vResetAll:
		b.state.session, b.state.present = b.base, b.base
		b.complete("RESET")
		return
	case vReset:
		value, tag = b.base.get(name), "RESET"
	}
	present, ok := b.state.present.With(name, value)
	if !ok {
		b.fail("42704", "unrecognized configuration parameter \""+name+"\"")
		return
	}
	b.state.present = present
	if s.verb == vSetLocal && b.alone {
		b.queueError("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks")
	}
	if s.verb != vSetLocal {
		b.state.session, _ = b.state.session.With(name, value)
	}
	b.complete(tag)
}

// setConfig carries out the calls of set_config.
func (b *Backend) setConfig() {
	list := configs(b.running.arg)
	row := []byte{0, byte(len(list))}
	for _, c := range list {
		present, ok := b.state.present.With(c[0], c[1])
		if !ok {
			b.fail("42704", "unrecognized configuration parameter \""+c[0]+"\"")
			return
		}
		b.state.present = present
		b.state.session, _ = b.state.session.With(c[0], c[1])
		row = append(row, 0, 0, 0, byte(len(c[1])))
		row = append(row, c[1]...)
	}
	b.queue('D', string(row))
	b.complete("SELECT 1")
}

func (b *Backend) discardAll() {
	clear(b.portals)
	b.state = state{session: b.base, present: b.base}
	clear(b.locks)
	b.dropAll()
	b.complete("DISCARD ALL")
}

// dropAll forgets all statements with names.
func (b *Backend) dropAll() {
	unnamed, ok := b.statements[""]
	clear(b.statements)
	b.sqlPrepared = 0
	if ok {
		b.statements[""] = unnamed
	}
}

func (b *Backend) prepare(s *statement) {
	if s.body.verb == vNowhere {
		b.fail("42P01", "relation does not exist")
		return
	}
	if _, taken := b.statements[s.arg]; taken {
		b.fail("42P05", "prepared statement \""+s.arg+"\" already exists")
		return
	}
	b.statements[s.arg] = prepared{statement: s.body, fromSQL: true}
	b.sqlPrepared++
	b.complete("PREPARE")
}

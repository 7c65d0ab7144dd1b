//! The table's cells where no lease is held: nothing, asking, lapsed. `super` says how to read them.

pub(super) const TABLE: &str = "\
[nothing] log 1, beat 1 1, beat 2 1, beat 3 1
claim 2 | beat now | claiming 2, from 4
claim 3 | beat now | claiming 3, from 4
claim 4 | beat now | claiming 4, from 4
release | released 0 | =
granted 2 / granted 3 / granted 4 / granted 6 / promise of 1 / opened newest / opened older / opened too late /
    deleted newest / deleted older / failed newest / failed older / shorter log / tick before due / tick when due /
    tick long after | - | =
promise of 2 / promise of 2 twice / refusal of 2 of another group / refusal of 2, then promise / promise of 2,
    then refusal | majority 10 after 990 | beat 3 1 + 2
promise of 3 | majority 10 after 990 | beat 3 1 + 3
promise of stranger | - | beat 3 1 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 990 | beat 3 1 + 2
promise of 2 naming 9 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time / refusal of 2 for good | majority 10 after 990 | beat 3 1 + 2 refuses
joint log | - | log 2
beat | beat 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4; majority 2 after 1000 | beat 4 1 + 2
beat promised under both halves | beat 4; majority 2 after 1000 | log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    from 4, lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | released 0; beat 4; majority 2 after 1000 | beat 4 1 + 2

[claimed after the last beat] claiming 3, from 4, log 1, beat 1 1, beat 2 1, beat 3 1
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due / tick when due / tick long after | -
    | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / refusal of 2, then promise / promise of 2,
    then refusal | majority 10 after 990 | beat 3 1 + 2
promise of 3 | majority 10 after 990 | beat 3 1 + 3
promise of stranger | - | beat 3 1 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 990 | beat 3 1 + 2
promise of 2 naming 9 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time / refusal of 2 for good | majority 10 after 990 | beat 3 1 + 2 refuses
joint log | - | log 2
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #1 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3; renew #1 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #1 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from

[asking] claiming 3, from 1, log 1, beat 1 asks, beat 2 asks, beat 3 asks
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / opened newest / opened older / opened too late / deleted newest / deleted older /
    failed newest / failed older / shorter log / tick before due / tick when due / tick long after | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 1 | - | beat 3 1
promise of 2 / promise of 2 twice / promise of 2 too late / refusal of 2 of another group / refusal of 2,
    then promise / promise of 2, then refusal | - | beat 3 2
promise of 3 | - | beat 3 3
promise of stranger | - | beat 3 7
promise of 2 to beat 2 | - | beat 2 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007, beat 3 2 refuses
refusal of 2 for good | - | beat 3 2 refuses
joint log | - | log 2
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #1 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3; renew #1 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #1 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from

[promised by a minority] claiming 3, from 1, log 1, beat 1 1, beat 2 1, beat 3 1
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due / tick when due / tick long after | -
    | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / promise of 2, then refusal
    | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3, order #1 1036 by 3, due 1036,
    beat 3 1 + 2
promise of 3 | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3, order #1 1036 by 3,
    due 1036, beat 3 1 + 3
promise of stranger | - | beat 3 1 + 7
promise of 2 to beat 2 | renew #1 epoch 3 to 1026; majority 20 after 980 | lease 1026 by 2, newest 2,
    order #1 1026 by 2, due 1026, beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 990 | beat 3 1 + 2
promise of 2 naming 9 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 10 after 990 | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | majority 10 after 990 | retry 2 1007, due 1007, beat 3 1 + 2 refuses
refusal of 2 for good | majority 10 after 990 | beat 3 1 + 2 refuses
refusal of 2, then promise | majority 10 after 990; renew #1 epoch 3 to 1036 | lease 1036 by 3, newest 3,
    order #1 1036 by 3, due 1036, beat 3 1 + 2
joint log | - | log 2
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #1 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3; renew #1 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #1 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from

[promised under an unknown entry] claiming 3, from 1, log 1, beat 1 1, beat 2 1, beat 3 1 + 2 names 9
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise / promise of 2, then refusal /
    opened newest / opened older / opened too late / deleted newest / deleted older / failed newest / failed older /
    shorter log / tick before due / tick when due / tick long after | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 3 | renew #1 epoch 3 to 1036 | lease 1036 by 3, newest 3, order #1 1036 by 3, due 1036,
    beat 3 1 + 2 names 9 + 3
promise of stranger | - | beat 3 1 + 2 names 9 + 7
promise of 2 to beat 2 | renew #1 epoch 3 to 1026; majority 20 after 980 | lease 1026 by 2, newest 2,
    order #1 1026 by 2, due 1026, beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 / promise of 2 naming 2 | unknown entry | =
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 names 9 + 4 names 2
promise of 2 naming 3, known | - | log 3
refusal of 2 for a time | - | retry 2 1007, due 1007
joint log | - | log 2
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #1 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3; renew #1 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #1 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from

[refused for a time] claiming 3, from 1, retry 2 1010, log 1, due 1010, beat 1 1, beat 2 1, beat 3 1 + 2 refuses
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming, no retry 2
granted 2 / granted 3 / promise of 1 / refusal of 2 for good / opened newest / opened older / opened too late /
    deleted newest / deleted older / failed newest / failed older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming, no retry 2
promise of 2 / promise of 2 twice / refusal of 2 of another group / refusal of 2, then promise / promise of 2,
    then refusal | renew #1 epoch 3 to 1036 | lease 1036 by 3, newest 3, order #1 1036 by 3, due 1036, beat 3 1 + 2,
    no retry 2
promise of 3 | renew #1 epoch 3 to 1036 | lease 1036 by 3, newest 3, order #1 1036 by 3, due 1036,
    beat 3 1 + 2 refuses + 3, no retry 2
promise of stranger | - | beat 3 1 + 2 refuses + 7
promise of 2 to beat 2 | renew #1 epoch 3 to 1026; majority 20 after 980 | lease 1026 by 2, newest 2,
    order #1 1026 by 2, due 1026, beat 2 1 + 2, no retry 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | - | beat 3 1 + 2
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 refuses + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
joint log | - | log 2
tick when due / tick long after | beat now | no retry 2, no due
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #1 1046 by 4, due 1046, beat 4 1 + 2, no retry 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2, no retry 2
shorter beat promised | beat 4 claims 3; renew #1 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #1 1019 by 4 of 30, due 1019, beat 4 1 + 2, no retry 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #1 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #1 1046 by 4, due 1046, beat 4 1 + 2, no retry 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no retry 2, no due

[promised by the outgoing half] claiming 3, from 1, log 2, beat 1 1, beat 2 1, beat 3 1 names 2 + 2 names 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    promise of 2 naming 2 / refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise /
    promise of 2, then refusal / opened newest / opened older / opened too late / deleted newest / deleted older /
    failed newest / failed older / joint log / tick before due / tick when due / tick long after | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 3 | - | beat 3 1 names 2 + 2 names 2 + 3
promise of stranger | - | beat 3 1 names 2 + 2 names 2 + 7
promise of 2 to beat 2 | renew #1 epoch 3 to 1026 | lease 1026 by 2, newest 2, order #1 1026 by 2, due 1026,
    beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 names 2 + 2 names 9
promise of 4 naming 2 | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3,
    order #1 1036 by 3, due 1036, beat 3 1 names 2 + 2 names 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 names 2 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
shorter log | - | log 1
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4 claims 3 | beat 4 1 names 2 + 2 names 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4 claims 4 | claiming 4, beat 4 1 names 2 + 2 names 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4
    | telling before 4 until 6508 told [1, 2], beat 4 1 names 2 + 2 names 2, no claiming, no from

[promised by the incoming half] claiming 3, from 1, log 2, beat 1 1, beat 2 1, beat 3 1 names 2 + 4 names 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #1 | closing 3 #1 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / promise of 4 naming 2 / opened newest / opened older / opened too late /
    deleted newest / deleted older / failed newest / failed older / joint log / tick before due / tick when due /
    tick long after | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / promise of 2, then refusal
    | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3, order #1 1036 by 3, due 1036,
    beat 3 1 names 2 + 4 names 2 + 2
promise of 3 | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3, order #1 1036 by 3,
    due 1036, beat 3 1 names 2 + 4 names 2 + 3
promise of stranger | - | beat 3 1 names 2 + 4 names 2 + 7
promise of 2 to beat 2 | renew #1 epoch 3 to 1026 | lease 1026 by 2, newest 2, order #1 1026 by 2, due 1026,
    beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 990 | beat 3 1 names 2 + 4 names 2 + 2
promise of 2 naming 9 | unknown entry; majority 10 after 990 | beat 3 1 names 2 + 4 names 2 + 2 names 9
promise of 2 naming 2 | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3,
    order #1 1036 by 3, due 1036, beat 3 1 names 2 + 4 names 2 + 2 names 2
promise of 2 naming 3, known | renew #1 epoch 3 to 1036; majority 10 after 990 | lease 1036 by 3, newest 3,
    order #1 1036 by 3, log 3, due 1036, beat 3 1 names 2 + 4 names 2 + 2 names 3
refusal of 2 for a time | majority 10 after 990 | retry 2 1007, due 1007, beat 3 1 names 2 + 4 names 2 + 2 refuses
refusal of 2 for good | majority 10 after 990 | beat 3 1 names 2 + 4 names 2 + 2 refuses
refusal of 2, then promise | majority 10 after 990; renew #1 epoch 3 to 1036 | lease 1036 by 3, newest 3,
    order #1 1036 by 3, due 1036, beat 3 1 names 2 + 4 names 2 + 2
shorter log | - | log 1
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4 claims 3 | beat 4 1 names 2 + 2 names 2
beat promised under both halves | beat 4 claims 3; renew #1 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #1 1046 by 4, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4 claims 4 | claiming 4, beat 4 1 names 2 + 2 names 2
release, deletion, beat promised | close #1; released 3; beat now; beat 4 releases before 4
    | telling before 4 until 6508 told [1, 2], beat 4 1 names 2 + 2 names 2, no claiming, no from

[lapsed, asking again] claiming 3, from 1, newest 3, gated 3, log 1, beat 1 1, beat 2 1, beat 3 1 + 2, beat 4 1
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #2 | closing 3 #2 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due / tick when due / tick long after | -
    | =
granted 4 / granted 6 | lost 3 Superseded; close #2 | closing 3 #2 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / promise of 2, then refusal
    | renew #2 epoch 3 to 1044; majority 2 after 998 | lease 1044 by 4, newest 4, order #2 1044 by 4, due 1044,
    beat 4 1 + 2
promise of 3 | renew #2 epoch 3 to 1044; majority 2 after 998 | lease 1044 by 4, newest 4, order #2 1044 by 4,
    due 1044, beat 4 1 + 3
promise of stranger | - | beat 4 1 + 7
promise of 2 to beat 2 | majority 35 after 965 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 998 | beat 4 1 + 2
promise of 2 naming 9 | unknown entry; majority 2 after 998 | beat 4 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 2 after 998 | beat 4 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 4 1 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 4 1 + 2 names 3
refusal of 2 for a time | majority 2 after 998 | retry 2 1007, due 1007, beat 4 1 + 2 refuses
refusal of 2 for good | majority 2 after 998 | beat 4 1 + 2 refuses
refusal of 2, then promise | majority 2 after 998; renew #2 epoch 3 to 1044 | lease 1044 by 4, newest 4,
    order #2 1044 by 4, due 1044, beat 4 1 + 2
joint log | - | log 2
beat | beat 5 claims 3 gated 3 | beat 5 asks
beat long after | beat 5 claims 3 gated 3 | beat 5 asks, no beat 1, no beat 2, no beat 3, no beat 4
beat promised | beat 5 claims 3 gated 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 5, newest 5,
    order #2 1046 by 5, due 1046, beat 5 1 + 2
beat promised under both halves | beat 5 claims 3 gated 3; renew #2 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 5, newest 5, order #2 1046 by 5, log 2, due 1046, beat 5 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 5 claims 3 gated 3; renew #2 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 5 of 30, newest 5, order #2 1019 by 5 of 30, due 1019, beat 5 1 + 2
claim 4, beat promised | beat now; beat 5 claims 4 gated 3; renew #2 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 5, newest 5, order #2 1046 by 5, due 1046, beat 5 1 + 2
release, deletion, beat promised | close #2; released 3; beat now; beat 5 releases before 5; majority 2 after 1000
    | telling before 5 until 6508 told [1, 2], beat 5 1 + 2, no claiming, no from, no newest, no gated

[lapsed while its gate was written] claiming 3, from 1, newest 3, log 1, beat 1 1, beat 2 1, beat 3 1 + 2, beat 4 1
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #2 | closing 3 #2 again 1020, due 1020, no claiming
granted 2 / granted 3 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due / tick when due / tick long after | -
    | =
granted 4 / granted 6 | lost 3 Superseded; close #2 | closing 3 #2 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / promise of 2, then refusal
    | renew #2 epoch 3 to 1044; majority 2 after 998 | lease 1044 by 4, newest 4, order #2 1044 by 4, due 1044,
    beat 4 1 + 2
promise of 3 | renew #2 epoch 3 to 1044; majority 2 after 998 | lease 1044 by 4, newest 4, order #2 1044 by 4,
    due 1044, beat 4 1 + 3
promise of stranger | - | beat 4 1 + 7
promise of 2 to beat 2 | majority 35 after 965 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 998 | beat 4 1 + 2
promise of 2 naming 9 | unknown entry; majority 2 after 998 | beat 4 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 2 after 998 | beat 4 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 4 1 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 4 1 + 2 names 3
refusal of 2 for a time | majority 2 after 998 | retry 2 1007, due 1007, beat 4 1 + 2 refuses
refusal of 2 for good | majority 2 after 998 | beat 4 1 + 2 refuses
refusal of 2, then promise | majority 2 after 998; renew #2 epoch 3 to 1044 | lease 1044 by 4, newest 4,
    order #2 1044 by 4, due 1044, beat 4 1 + 2
joint log | - | log 2
beat | beat 5 claims 3 | beat 5 asks
beat long after | beat 5 claims 3 | beat 5 asks, no beat 1, no beat 2, no beat 3, no beat 4
beat promised | beat 5 claims 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 5, newest 5,
    order #2 1046 by 5, due 1046, beat 5 1 + 2
beat promised under both halves | beat 5 claims 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 5,
    newest 5, order #2 1046 by 5, log 2, due 1046, beat 5 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 5 claims 3; renew #2 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 5 of 30,
    newest 5, order #2 1019 by 5 of 30, due 1019, beat 5 1 + 2
claim 4, beat promised | beat now; beat 5 claims 4; renew #2 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 5, newest 5, order #2 1046 by 5, due 1046, beat 5 1 + 2
release, deletion, beat promised | close #2; released 3; beat now; beat 5 releases before 5; majority 2 after 1000
    | telling before 5 until 6508 told [1, 2], beat 5 1 + 2, no claiming, no from, no newest
";

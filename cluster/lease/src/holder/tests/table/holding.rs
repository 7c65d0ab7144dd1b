//! The table's cells where a majority has promised a lease. `super` says how to read them.

pub(super) const TABLE: &str = "\
[promised, gate being written] claiming 3, from 1, lease 1036 by 3, newest 3, order #1 1036 by 3, log 1, due 1036,
    beat 1 1, beat 2 1, beat 3 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease, no order #1
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise / promise of 2, then refusal /
    opened older / deleted newest / deleted older / failed older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease,
    no order #1
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
opened newest | gained 3 to 1036 | open 1036, gated 3, held yes, no order #1
opened too late | - | open 1036, gated 3, no order #1
failed newest | - | no order #1
joint log | - | log 2
tick when due / tick long after | beat now | no lease, no order #1, no due
beat | beat 4 claims 3 | beat 4 asks
beat long after | beat 4 claims 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #2 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4,
    newest 4, order #2 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3; renew #2 epoch 3 to 1019; majority 2 after 1000 | lease 1019 by 4 of 30,
    newest 4, order #2 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4; renew #2 epoch 4 to 1046; majority 2 after 1000 | claiming 4,
    lease 1046 by 4, newest 4, order #2 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | close #2; released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease, no newest, no order #1,
    no due

[gained] claiming 3, from 1, lease 1036 by 3, newest 3, open 1036, gated 3, held yes, log 1, due 1036, beat 1 1,
    beat 2 1, beat 3 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | lost 3 Released; close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease, no open, no held
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise / promise of 2, then refusal /
    opened newest / opened older / opened too late / deleted newest / deleted older / failed newest / failed older /
    shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease,
    no open, no held
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
joint log | - | log 2
tick when due / tick long after | lost 3 Lapsed; beat now | no lease, no open, no held, no due
beat | beat 4 claims 3 gated 3 | beat 4 asks
beat long after | beat 4 claims 3 gated 3 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3 gated 3; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #2 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3 gated 3; renew #2 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 4, newest 4, order #2 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3 gated 3; renew #2 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 4 of 30, newest 4, order #2 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4 gated 3; renew #2 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 4, newest 4, order #2 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | lost 3 Released; close #2; released 3; beat now; beat 4 releases before 4;
    majority 2 after 1000 | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease,
    no newest, no open, no gated, no held, no due

[gained, two gates being written] claiming 3, from 1, lease 1036 by 3, newest 3, open 1016, gated 1, held yes,
    order #2 1026 by 2, order #3 1036 by 3, log 1, due 1036, beat 1 1 + 2, beat 2 1 + 2, beat 3 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | lost 3 Released; close #4 | closing 3 #4 again 1020, due 1020, no claiming, no lease, no open, no held,
    no order #2, no order #3
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 to beat 2 /
    promise of 2 too late / refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise /
    promise of 2, then refusal / deleted newest / deleted older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #4 | closing 3 #4 again 1020, due 1020, no claiming, no lease,
    no open, no held, no order #2, no order #3
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
opened newest / opened too late | - | open 1036, gated 3, no order #2, no order #3
opened older | - | open 1026, gated 2, no order #2
failed newest | lost 3 GateFailed | no open, no held, no order #3
failed older | lost 3 GateFailed | no open, no held, no order #2
joint log | - | log 2
tick when due / tick long after | lost 3 Lapsed; beat now | no lease, no open, no held, no order #2, no order #3,
    no due
beat | beat 4 claims 3 gated 1 | beat 4 asks
beat long after | beat 4 claims 3 gated 1 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3 gated 1; renew #4 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #4 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3 gated 1; renew #4 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 4, newest 4, order #4 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3 gated 1; renew #4 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 4 of 30, newest 4, order #4 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4 gated 1; renew #4 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 4, newest 4, order #4 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | lost 3 Released; close #4; released 3; beat now; beat 4 releases before 4;
    majority 2 after 1000 | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease,
    no newest, no open, no gated, no held, no order #2, no order #3, no due

[gained, gate being shortened] claiming 3, from 1, lease 1036 by 3, newest 3, open 1050, gated 1, held yes,
    order #2 1036 by 3, log 1, due 1036, beat 1 1 + 2, beat 2 1, beat 3 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | lost 3 Released; close #3 | closing 3 #3 again 1020, due 1020, no claiming, no lease, no open, no held,
    no order #2
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise / promise of 2, then refusal /
    opened older / deleted newest / deleted older / failed older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #3 | closing 3 #3 again 1020, due 1020, no claiming, no lease,
    no open, no held, no order #2
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
opened newest / opened too late | - | open 1036, gated 3, no order #2
failed newest | lost 3 GateFailed | no open, no held, no order #2
joint log | - | log 2
tick when due / tick long after | lost 3 Lapsed; beat now | no lease, no open, no held, no order #2, no due
beat | beat 4 claims 3 gated 1 | beat 4 asks
beat long after | beat 4 claims 3 gated 1 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3 gated 1; renew #3 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #3 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3 gated 1; renew #3 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 4, newest 4, order #3 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3 gated 1; renew #3 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 4 of 30, newest 4, order #3 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4 gated 1; renew #3 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 4, newest 4, order #3 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | lost 3 Released; close #3; released 3; beat now; beat 4 releases before 4;
    majority 2 after 1000 | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease,
    no newest, no open, no gated, no held, no order #2, no due

[gained, gate need not follow] claiming 3, from 1, lease 1036 by 3, newest 3, open 1032, gated 2, held yes, log 1,
    due 1036, beat 1 1, beat 2 1 + 2, beat 3 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | lost 3 Released; close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease, no open, no held
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 to beat 2 /
    promise of 2 too late / refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise /
    promise of 2, then refusal / opened newest / opened older / opened too late / deleted newest / deleted older /
    failed newest / failed older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #2 | closing 3 #2 again 1020, due 1020, no claiming, no lease,
    no open, no held
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
joint log | - | log 2
tick when due / tick long after | lost 3 Lapsed; beat now | no lease, no open, no held, no due
beat | beat 4 claims 3 gated 2 | beat 4 asks
beat long after | beat 4 claims 3 gated 2 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised | beat 4 claims 3 gated 2; renew #2 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 4, newest 4,
    order #2 1046 by 4, due 1046, beat 4 1 + 2
beat promised under both halves | beat 4 claims 3 gated 2; renew #2 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 4, newest 4, order #2 1046 by 4, log 2, due 1046, beat 4 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 4 claims 3 gated 2; renew #2 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 4 of 30, newest 4, order #2 1019 by 4 of 30, due 1019, beat 4 1 + 2
claim 4, beat promised | beat now; beat 4 claims 4 gated 2; renew #2 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 4, newest 4, order #2 1046 by 4, due 1046, beat 4 1 + 2
release, deletion, beat promised | lost 3 Released; close #2; released 3; beat now; beat 4 releases before 4;
    majority 2 after 1000 | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease,
    no newest, no open, no gated, no held, no due

[gate failed] claiming 3, from 1, lease 1043 by 4, newest 4, gated 3, log 1, due 1043, beat 1 1, beat 2 1,
    beat 3 1 + 2, beat 4 1 + 2
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | close #3 | closing 3 #3 again 1020, due 1020, no claiming, no lease
granted 2 / granted 3 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise / promise of 2, then refusal /
    opened newest / opened older / opened too late / deleted newest / deleted older / failed newest / failed older /
    shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #3 | closing 3 #3 again 1020, due 1020, no claiming, no lease
promise of 3 | - | beat 4 1 + 2 + 3
promise of stranger | - | beat 4 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 4 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 4 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 4 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 4 1 + 2 names 3
refusal of 2 for a time | - | retry 2 1007, due 1007
joint log | - | log 2
tick when due / tick long after | beat now | no lease, no due
beat | beat 5 claims 3 gated 3 | beat 5 asks
beat long after | beat 5 claims 3 gated 3 | beat 5 asks, no beat 1, no beat 2, no beat 3, no beat 4
beat promised | beat 5 claims 3 gated 3; renew #3 epoch 3 to 1046; majority 2 after 1000 | lease 1046 by 5, newest 5,
    order #3 1046 by 5, due 1046, beat 5 1 + 2
beat promised under both halves | beat 5 claims 3 gated 3; renew #3 epoch 3 to 1046; majority 2 after 1000
    | lease 1046 by 5, newest 5, order #3 1046 by 5, log 2, due 1046, beat 5 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 5 claims 3 gated 3; renew #3 epoch 3 to 1019; majority 2 after 1000
    | lease 1019 by 5 of 30, newest 5, order #3 1019 by 5 of 30, due 1019, beat 5 1 + 2
claim 4, beat promised | beat now; beat 5 claims 4 gated 3; renew #3 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, lease 1046 by 5, newest 5, order #3 1046 by 5, due 1046, beat 5 1 + 2
release, deletion, beat promised | close #3; released 3; beat now; beat 5 releases before 5; majority 2 after 1000
    | telling before 5 until 6508 told [1, 2], beat 5 1 + 2, no claiming, no from, no lease, no newest, no gated,
    no due

[adopted] claiming 3, from 1, lease 1015 by none, open 1015, held yes, log 1, due 1015, beat 1 1, beat 2 1, beat 3 1
claim 2 / claim 3 | beat now | =
claim 4 | beat now | claiming 4
release | lost 3 Released; close #1 | closing 3 #1 again 1020, due 1020, no claiming, no lease, no open, no held
granted 2 / granted 3 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due | - | =
granted 4 / granted 6 | lost 3 Superseded; close #1 | closing 3 #1 again 1020, due 1020, no claiming, no lease,
    no open, no held
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
tick when due / tick long after | lost 3 Lapsed; beat now | no lease, no open, no held, no due
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
release, deletion, beat promised | lost 3 Released; close #1; released 3; beat now; beat 4 releases before 4;
    majority 2 after 1000 | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no claiming, no from, no lease,
    no open, no held, no due
";

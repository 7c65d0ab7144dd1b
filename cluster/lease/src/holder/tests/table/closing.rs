//! The table's cells where a lease is given up or was. `super` says how to read them.

pub(super) const TABLE: &str = "\
[closing] closing 3 #2 again 1015, from 1, newest 3, gated 3, log 1, due 1015, beat 1 1, beat 2 1, beat 3 1 + 2
claim 2 | beat now | next 2
claim 3 | beat now | next 3
claim 4 | beat now | next 4
release / granted 2 / granted 3 / granted 4 / granted 6 / promise of 1 / promise of 2 / promise of 2 twice /
    promise of 2 too late / refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group /
    refusal of 2, then promise / promise of 2, then refusal / opened newest / opened older / opened too late /
    deleted older / failed older / shorter log / tick before due | - | =
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
deleted newest | released 3; beat now | telling before 4 until 6508 told [], no closing, no from, no newest, no gated,
    no due
failed newest | - | closing 3 #2 again 1004, due 1004
joint log | - | log 2
tick when due | close #3 | closing 3 #3 again 1035, due 1035
tick long after | close #3 | closing 3 #3 again 7020, due 7020
beat | beat 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4; majority 2 after 1000 | beat 4 1 + 2
beat promised under both halves | beat 4; majority 2 after 1000 | log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4; majority 2 after 1000 | next 4, beat 4 1 + 2
release, deletion, beat promised | released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no closing, no from, no newest, no gated, no due

[closing, deletion failed] closing 3 #2 again 1002, from 1, newest 3, gated 3, log 1, due 1002, beat 1 1, beat 2 1,
    beat 3 1 + 2
claim 2 | beat now | next 2
claim 3 | beat now | next 3
claim 4 | beat now | next 4
release / granted 2 / granted 3 / granted 4 / granted 6 / promise of 1 / promise of 2 / promise of 2 twice /
    promise of 2 too late / refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group /
    refusal of 2, then promise / promise of 2, then refusal / opened newest / opened older / opened too late /
    deleted older / failed newest / failed older / shorter log / tick before due | - | =
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
deleted newest | released 3; beat now | telling before 4 until 6508 told [], no closing, no from, no newest, no gated,
    no due
joint log | - | log 2
tick when due | close #3 | closing 3 #3 again 1022, due 1022
tick long after | close #3 | closing 3 #3 again 7020, due 7020
beat | beat 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4; majority 2 after 1000 | beat 4 1 + 2
beat promised under both halves | beat 4; majority 2 after 1000 | log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4; majority 2 after 1000 | next 4, beat 4 1 + 2
release, deletion, beat promised | released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no closing, no from, no newest, no gated, no due

[closing, deletion ordered again] closing 3 #3 again 1014, from 1, newest 3, gated 3, log 1, due 1014, beat 1 1,
    beat 2 1, beat 3 1 + 2
claim 2 | beat now | next 2
claim 3 | beat now | next 3
claim 4 | beat now | next 4
release / granted 2 / granted 3 / granted 4 / granted 6 / promise of 1 / promise of 2 / promise of 2 twice /
    promise of 2 too late / refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group /
    refusal of 2, then promise / promise of 2, then refusal / opened newest / opened older / opened too late /
    deleted older / failed older / shorter log / tick before due | - | =
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
deleted newest | released 3; beat now | telling before 4 until 6508 told [], no closing, no from, no newest, no gated,
    no due
failed newest | - | closing 3 #3 again 1004, due 1004
joint log | - | log 2
tick when due | close #4 | closing 3 #4 again 1034, due 1034
tick long after | close #4 | closing 3 #4 again 7020, due 7020
beat | beat 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4; majority 2 after 1000 | beat 4 1 + 2
beat promised under both halves | beat 4; majority 2 after 1000 | log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4; majority 2 after 1000 | next 4, beat 4 1 + 2
release, deletion, beat promised | released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no closing, no from, no newest, no gated, no due

[closing, claimed again] closing 3 #2 again 1015, from 1, newest 3, gated 3, next 5, log 1, due 1015, beat 1 1,
    beat 2 1, beat 3 1 + 2
claim 2 | beat now | next 2
claim 3 | beat now | next 3
claim 4 | beat now | next 4
release | - | no next
granted 2 / granted 3 / granted 4 / promise of 1 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise /
    promise of 2, then refusal / opened newest / opened older / opened too late / deleted older / failed older /
    shorter log / tick before due | - | =
granted 6 | lost 5 Superseded | no next
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
deleted newest | released 3; beat now | claiming 5, from 4, telling before 4 until 6508 told [], no closing,
    no newest, no gated, no next, no due
failed newest | - | closing 3 #2 again 1004, due 1004
joint log | - | log 2
tick when due | close #3 | closing 3 #3 again 1035, due 1035
tick long after | close #3 | closing 3 #3 again 7020, due 7020
beat | beat 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4; majority 2 after 1000 | beat 4 1 + 2
beat promised under both halves | beat 4; majority 2 after 1000 | log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4; majority 2 after 1000 | next 4, beat 4 1 + 2
release, deletion, beat promised | released 3; beat now; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6508 told [1, 2], beat 4 1 + 2, no closing, no from, no newest, no gated, no next, no due

[released] telling before 4 until 6506 told [], log 1, beat 1 1, beat 2 1, beat 3 1 + 2
claim 2 | beat now | claiming 2, from 4
claim 3 | beat now | claiming 3, from 4
claim 4 | beat now | claiming 4, from 4
release | released 0 | =
granted 2 / granted 3 / granted 4 / granted 6 / promise of 1 / promise of 2 / promise of 2 twice /
    promise of 2 too late / refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group /
    refusal of 2, then promise / promise of 2, then refusal / opened newest / opened older / opened too late /
    deleted newest / deleted older / failed newest / failed older / shorter log / tick before due / tick when due /
    tick long after | - | =
promise of 3 | - | beat 3 1 + 2 + 3
promise of stranger | - | beat 3 1 + 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 3 1 + 2 names 9
promise of 2 naming 2 | unknown entry | beat 3 1 + 2 names 2
promise of 4 naming 2 | unknown entry | beat 3 1 + 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 3 1 + 2 names 3
joint log | - | log 2
beat | beat 4 releases before 4 | beat 4 asks
beat long after | beat 4 | beat 4 asks, no telling, no beat 1, no beat 2, no beat 3
beat promised / shorter beat promised | beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2], beat 4 1 + 2
beat promised under both halves | beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2, 4], log 2, beat 4 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 4 claims 4 releases before 4; renew #3 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, from 4, lease 1046 by 4, newest 4, order #3 1046 by 4, telling before 4 until 6506 told [1, 2],
    due 1046, beat 4 1 + 2
release, deletion, beat promised | released 0; beat 4 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2], beat 4 1 + 2

[released, one voter told] telling before 4 until 6506 told [2], log 1, beat 1 1, beat 2 1, beat 3 1 + 2, beat 4 2
claim 2 | beat now | claiming 2, from 5
claim 3 | beat now | claiming 3, from 5
claim 4 | beat now | claiming 4, from 5
release | released 0 | =
granted 2 / granted 3 / granted 4 / granted 6 / promise of 2 / promise of 2 twice / promise of 2 too late /
    refusal of 2 for a time / refusal of 2 for good / refusal of 2 of another group / refusal of 2, then promise /
    promise of 2, then refusal / opened newest / opened older / opened too late / deleted newest / deleted older /
    failed newest / failed older / shorter log / tick before due / tick when due / tick long after | - | =
promise of 1 | majority 1 after 999 | telling before 4 until 6506 told [1, 2], beat 4 2 + 1
promise of 3 | majority 1 after 999 | beat 4 2 + 3, no telling
promise of stranger | - | telling before 4 until 6506 told [2, 7], beat 4 2 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 naming 9 | unknown entry | beat 4 2 names 9
promise of 2 naming 2 | unknown entry | beat 4 2 names 2
promise of 4 naming 2 | unknown entry | telling before 4 until 6506 told [2, 4], beat 4 2 + 4 names 2
promise of 2 naming 3, known | - | log 3, beat 4 2 names 3
joint log | - | log 2
beat | beat 5 releases before 4 | beat 5 asks
beat long after | beat 5 | beat 5 asks, no telling, no beat 1, no beat 2, no beat 3, no beat 4
beat promised / shorter beat promised | beat 5 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2], beat 5 1 + 2
beat promised under both halves | beat 5 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2, 4], log 2, beat 5 1 names 2 + 2 names 2 + 4 names 2
claim 4, beat promised | beat now; beat 5 claims 4 releases before 4; renew #3 epoch 4 to 1046; majority 2 after 1000
    | claiming 4, from 5, lease 1046 by 5, newest 5, order #3 1046 by 5, telling before 4 until 6506 told [1, 2],
    due 1046, beat 5 1 + 2
release, deletion, beat promised | released 0; beat 5 releases before 4; majority 2 after 1000
    | telling before 4 until 6506 told [1, 2], beat 5 1 + 2

[released, claimed again] claiming 5, from 4, telling before 4 until 6506 told [1], log 1, beat 1 1, beat 2 1,
    beat 3 1 + 2, beat 4 1
claim 2 / claim 3 / claim 4 | beat now | =
release | close #3 | closing 5 #3 again 1020, due 1020, no claiming
granted 2 / granted 3 / granted 4 / promise of 1 / opened newest / opened older / opened too late / deleted newest /
    deleted older / failed newest / failed older / shorter log / tick before due / tick when due / tick long after | -
    | =
granted 6 | lost 5 Superseded; close #3 | closing 5 #3 again 1020, due 1020, no claiming
promise of 2 / promise of 2 twice / refusal of 2 of another group / promise of 2, then refusal
    | renew #3 epoch 5 to 1045; majority 1 after 999 | lease 1045 by 4, newest 4, order #3 1045 by 4,
    telling before 4 until 6506 told [1, 2], due 1045, beat 4 1 + 2
promise of 3 | renew #3 epoch 5 to 1045; majority 1 after 999 | lease 1045 by 4, newest 4, order #3 1045 by 4,
    telling before 4 until 6506 told [1, 3], due 1045, beat 4 1 + 3
promise of stranger | - | telling before 4 until 6506 told [1, 7], beat 4 1 + 7
promise of 2 to beat 2 | majority 20 after 980 | beat 2 1 + 2
promise of 2 to unknown beat / promise of 2 to other boot | unmatched | =
promise of 2 too late | majority 46 after 999 | telling before 4 until 6506 told [1, 2], beat 4 1 + 2
promise of 2 naming 9 | unknown entry; majority 1 after 999 | telling before 4 until 6506 told [1, 2],
    beat 4 1 + 2 names 9
promise of 2 naming 2 | unknown entry; majority 1 after 999 | telling before 4 until 6506 told [1, 2],
    beat 4 1 + 2 names 2
promise of 4 naming 2 | unknown entry | telling before 4 until 6506 told [1, 4], beat 4 1 + 4 names 2
promise of 2 naming 3, known | - | telling before 4 until 6506 told [1, 2], log 3, beat 4 1 + 2 names 3
refusal of 2 for a time | majority 1 after 999 | retry 2 1007, telling before 4 until 6506 told [1, 2], due 1007,
    beat 4 1 + 2 refuses
refusal of 2 for good | majority 1 after 999 | telling before 4 until 6506 told [1, 2], beat 4 1 + 2 refuses
refusal of 2, then promise | majority 1 after 999; renew #3 epoch 5 to 1045 | lease 1045 by 4, newest 4,
    order #3 1045 by 4, telling before 4 until 6506 told [1, 2], due 1045, beat 4 1 + 2
joint log | - | log 2
beat | beat 5 claims 5 releases before 4 | beat 5 asks
beat long after | beat 5 claims 5 | beat 5 asks, no telling, no beat 1, no beat 2, no beat 3, no beat 4
beat promised | beat 5 claims 5 releases before 4; renew #3 epoch 5 to 1046; majority 2 after 1000 | lease 1046 by 5,
    newest 5, order #3 1046 by 5, telling before 4 until 6506 told [1, 2], due 1046, beat 5 1 + 2
beat promised under both halves | beat 5 claims 5 releases before 4; renew #3 epoch 5 to 1046; majority 2 after 1000
    | lease 1046 by 5, newest 5, order #3 1046 by 5, telling before 4 until 6506 told [1, 2, 4], log 2, due 1046,
    beat 5 1 names 2 + 2 names 2 + 4 names 2
shorter beat promised | beat 5 claims 5 releases before 4; renew #3 epoch 5 to 1019; majority 2 after 1000
    | lease 1019 by 5 of 30, newest 5, order #3 1019 by 5 of 30, telling before 4 until 6506 told [1, 2], due 1019,
    beat 5 1 + 2
claim 4, beat promised | beat now; beat 5 claims 5 releases before 4; renew #3 epoch 5 to 1046; majority 2 after 1000
    | lease 1046 by 5, newest 5, order #3 1046 by 5, telling before 4 until 6506 told [1, 2], due 1046, beat 5 1 + 2
release, deletion, beat promised | close #3; released 5; beat now; beat 5 releases before 5; majority 2 after 1000
    | telling before 5 until 6508 told [1, 2], beat 5 1 + 2, no claiming, no from
";

from hermes_train.cluster.preflight.presence import token


def test_each_step_of_a_job_and_each_try_has_a_folder_of_its_own():
    assert token({"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "2", "SLURM_STEP_ID": "4"}) == "17.2.4"
    assert token({"SLURM_JOB_ID": "17"}) == "17.0.0"
    assert token({"TORCHELASTIC_RUN_ID": "preflight-x"}) == "preflight-x"

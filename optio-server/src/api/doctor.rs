//! `/api/doctor`: what the server finds when it examines itself.

use axum::{Json, extract::State};

use super::accounts::AccountView;
use crate::{app::App, doctor::Report, error::ApiError};

pub(crate) async fn show(State(app): State<App>) -> Result<Json<Report>, ApiError> {
    let mut report = app.doctor.examine().await;
    let accounts = app.optio.accounts().await?;
    let accounts = accounts.into_iter().map(AccountView::from);
    report
        .checks
        .extend(accounts.filter_map(|account| account.check()));
    Ok(Json(report))
}

//! What the supervisor ordered, and what of it had to wait.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::election::ElectionOrder;

pub struct Orders {
    /// Older than what the receiver has.
    kept: VecDeque<ElectionOrder>,
    receiver: mpsc::UnboundedReceiver<ElectionOrder>,
}

impl Orders {
    pub fn new(receiver: mpsc::UnboundedReceiver<ElectionOrder>) -> Self {
        Self { kept: VecDeque::new(), receiver }
    }

    /// The oldest order; `None` when there will be no more. Cancel safe.
    pub async fn recv(&mut self) -> Option<ElectionOrder> {
        match self.kept.pop_front() {
            Some(order) => Some(order),
            None => self.receiver.recv().await,
        }
    }

    /// The next order that nobody has seen. Cancel safe.
    pub async fn recv_unseen(&mut self) -> Option<ElectionOrder> {
        self.receiver.recv().await
    }

    /// Keeps an order for later: [`Self::recv`] hands it out after those that were kept before.
    pub fn keep(&mut self, order: ElectionOrder) {
        self.kept.push_back(order);
    }
}
